"""What is next-sentence: does the second of two sentences follow the first (Devlin et al. 2018, arXiv:1810.04805)?

With masked-lm beside it, it is how BERT was pretrained: one model with both heads, one loss that is the sum of both.
The loss of a row's words is their mean, so that both are means over rows and do not depend on the number of workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModelForNextSentencePrediction, AutoModelForPreTraining, PreTrainedTokenizerBase

from eagleray.errors import UserError
from eagleray.metrics.base import Metrics
from eagleray.metrics.classification import SingleLabelMetrics
from eagleray.metrics.next_sentence import MaskedNextSentenceMetrics
from eagleray.tasks import masking, sentence_pairs, targets
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.columns import read_text
from eagleray.tasks.labels import read_label
from eagleray.tasks.masking import Vocabulary
from eagleray.tasks.padding import attention_mask, pad
from eagleray.tasks.problems import SingleLabel
from eagleray.tasks.sentence_pairs import Pair
from eagleray.tasks.text_classification import tokenize

LABELS = ("next", "random")  # in the order of transformers' heads
_MEANT = {"next": "next", "true": "next", "1": "next", "random": "random", "false": "random", "0": "random"}
_MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True)
class NextSentence:
    """Rows to learn from: `{"sentences"}` or `{"text", "text_pair", "label"}`; to predict: the latter without label."""

    format: Literal["sentences", "document", "pairs"] = "sentences"
    sentences: str = "sentences"
    text: str = "text"
    text_pair: str = "text_pair"
    label: str | None = None
    with_masked_lm: bool = False
    mask_share: float = 0.15
    negatives_seed: int = 0
    vocabulary: Vocabulary | None = None

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "accuracy", "max"

    @property
    def labels(self) -> tuple[str, ...]:
        return LABELS

    @property
    def columns(self) -> tuple[str, ...]:
        match self.format:
            case "sentences":
                return (self.sentences,)
            case "document":
                return (self.text,)
            case "pairs":
                return (self.text, self.text_pair, *([self.label] if self.label else []))

    def read(self, raw: Mapping[str, Any]) -> Row:
        match self.format:
            case "sentences":
                return {"sentences": _read_sentences(raw.get(self.sentences), column=self.sentences)}
            case "document":
                return {"sentences": sentence_pairs.sentences(read_text(raw, self.text))}
        pair = {"text": read_text(raw, self.text), "text_pair": read_text(raw, self.text_pair)}
        if self.label is None:
            return {"sentences": list(pair.values())}
        label = read_label(raw.get(self.label), column=self.label)
        if label not in _MEANT:
            raise ValueError(f"column `{self.label}` holds {label!r}: a pair is `next` or `random`, or true or false")
        return {**pair, "label": _MEANT[label]}

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        return {
            "text": read_text(raw, self.text, may_be_empty=True),
            "text_pair": read_text(raw, self.text_pair, may_be_empty=True),
        }

    def asked(self, row: Row) -> dict[str, Any]:
        """The pair, or a row's first sentence and its last."""
        first, second = _ends(row)
        return {self.text: first, self.text_pair: second}

    def identity(self, row: Row) -> str:
        return json.dumps(row.get("sentences", [row.get("text"), row.get("text_pair")]), ensure_ascii=False)

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return (row["label"],) if "label" in row else ()

    def with_labels(self, labels: tuple[str, ...]) -> NextSentence:
        return self

    def bound_to(self, tokenizer: PreTrainedTokenizerBase) -> NextSentence:
        if not self.with_masked_lm:
            return self
        return replace(self, vocabulary=masking.vocabulary(tokenizer, task="next-sentence"))

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """A sample for each pair: `row` says of which row. Besides: `label`, and `unit` for what may be hidden."""
        pairs = self._pairs(rows)
        texts, seconds = [pair.first for pair in pairs], [pair.second for pair in pairs]
        columns = tokenize(tokenizer, texts, seconds, max_length=max_length)
        columns["num_targets"] = [1] * len(pairs)
        columns["label"] = [int(not pair.is_next) for pair in pairs]
        columns["row"] = [pair.row for pair in pairs]
        if self.with_masked_lm:
            columns["unit"] = [masking.units(tokenizer, ids, None) for ids in columns["input_ids"]]
        return columns

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("next-sentence has one output a row: samples cannot be packed")
        ids = [np.asarray(sample["input_ids"], dtype=np.int64) for sample in samples]
        batch = {
            "input_ids": pad(ids, value=pad_id),
            "attention_mask": attention_mask([len(row) for row in ids]),
            "weights": torch.as_tensor(weights, dtype=torch.float32),
            "labels": torch.tensor([int(sample["label"]) for sample in samples], dtype=torch.int64),
        }
        if "token_type_ids" in samples[0]:
            batch["token_type_ids"] = pad([sample["token_type_ids"] for sample in samples], value=0)
        if self.with_masked_lm and "index" in samples[0]:
            shown = [masking.hidden_in(sample, share=self.mask_share, vocabulary=self.vocabulary) for sample in samples]
            batch["targets"] = batch["input_ids"]
            batch["input_ids"] = pad([seen for seen, _ in shown], value=pad_id)
            batch["is_hidden"] = pad([hidden for _, hidden in shown], value=0, dtype=np.float32)
        return batch

    def num_targets(self, batch: Batch) -> float:
        """Rows."""
        return float(batch["weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits returned are (rows, 2); with masked-lm (rows, 5), as MaskedNextSentenceMetrics has them."""
        output = forward(**_inputs(batch))
        logits = _relation(output).float()
        losses = SingleLabel(LABELS).losses(logits, batch["labels"], label_smoothing=label_smoothing)
        if self.with_masked_lm:
            words = _words(output, batch, label_smoothing=label_smoothing)
            losses = losses + _mean_of_words(words)
            logits = torch.cat([logits, words], dim=1)
        return (losses * batch["weights"]).sum(), logits

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        losses = SingleLabel(LABELS).losses(logits[:, :2], batch["labels"], label_smoothing=0.0)
        return (losses + _mean_of_words(logits[:, 2:]) if self.with_masked_lm else losses).cpu()

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        return SingleLabel(LABELS).verdict(logits[row, :2].cpu(), batch["labels"][row].cpu())

    @property
    def numbered(self) -> tuple[str, ...]:
        return LABELS

    def compared(self, logits: torch.Tensor, batch: Batch) -> Iterator[tuple[Any, Any]]:
        """`next` or `random`."""
        return SingleLabel(LABELS).compared(logits[:, :2].cpu(), batch["labels"].cpu())

    def shown(self, row: Row) -> str:
        return "\n".join(row.get("sentences", _ends(row)))

    def new_metrics(self) -> Metrics:
        return MaskedNextSentenceMetrics(LABELS) if self.with_masked_lm else SingleLabelMetrics(LABELS)

    def model_class(self) -> type[Any]:
        return AutoModelForPreTraining if self.with_masked_lm else AutoModelForNextSentencePrediction

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {"pad_token_id": tokenizer.pad_token_id}

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        return SingleLabel(LABELS).results(_relation(model(**_inputs(batch))).float())

    def _pairs(self, rows: Sequence[Row]) -> list[Pair]:
        if any("sentences" in row for row in rows):
            return sentence_pairs.drawn([row["sentences"] for row in rows], seed=self.negatives_seed)
        return [
            Pair(row["text"], row["text_pair"], is_next=row.get("label") == "next", row=number)
            for number, row in enumerate(rows)
        ]


def _relation(output: Any) -> torch.Tensor:
    """The logits of both classes, as heads for this alone and for pretraining call them."""
    found = getattr(output, "seq_relationship_logits", None)
    if found is None:
        found = getattr(output, "logits", None)
    if found is None or found.dim() != 2:
        raise UserError(
            "task.with_masked_lm: the pretraining head of this kind of model says nothing of the next sentence: "
            "BERT's does; for others use the task masked-lm"
        )
    return found  # type: ignore[no-any-return]


def _words(output: Any, batch: Batch, *, label_smoothing: float) -> torch.Tensor:
    """Of each row the summed loss of its hidden tokens, how many were named right, and their number: (rows, 3)."""
    hidden = batch["is_hidden"] > 0
    predictions = getattr(output, "prediction_logits", None)
    if predictions is None:  # a baseline that knows labels only
        return torch.zeros(len(hidden), 3, device=hidden.device)
    chosen, wanted = predictions[hidden], batch["targets"][hidden]
    losses = functional.cross_entropy(chosen.float(), wanted, reduction="none", label_smoothing=label_smoothing)
    rows = targets.rows_of(hidden)
    sums = torch.stack([losses, (chosen.detach().argmax(dim=-1) == wanted).float(), torch.ones_like(losses)], dim=1)
    return torch.zeros(len(hidden), 3, dtype=sums.dtype, device=sums.device).index_add(0, rows, sums)


def _mean_of_words(words: torch.Tensor) -> torch.Tensor:
    return words[:, 0] / words[:, 2].clamp_min(1.0)


def _inputs(batch: Batch) -> Batch:
    return {name: batch[name] for name in _MODEL_INPUTS if name in batch}


def _ends(row: Row) -> tuple[str, str]:
    if "text" in row:
        return row["text"], row["text_pair"]
    return row["sentences"][0], row["sentences"][-1]


def _read_sentences(value: Any, *, column: str) -> list[str]:
    """A list, or one as JSON text, as tables have it."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"column `{column}` starts like a JSON list but is none: {error}") from None
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each.strip() for each in value):
        raise ValueError(f"column `{column}` must hold a list of sentences, none of them empty")
    if not value:
        raise ValueError(f"column `{column}` is an empty list")
    return list(value)
