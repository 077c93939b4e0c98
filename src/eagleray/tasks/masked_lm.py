"""What is masked-lm: naming the tokens of a text that are hidden (Devlin et al. 2018, arXiv:1810.04805)?

Any encoder that `AutoModelForMaskedLM` loads can learn it from text without labels. What it has learned is what other
tasks begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerBase

from eagleray.metrics.perplexity import PerplexityMetrics
from eagleray.tasks import masking, targets
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.columns import read_text
from eagleray.tasks.masking import Vocabulary
from eagleray.tasks.padding import attention_mask, pad
from eagleray.tasks.text_classification import tokenize

_MODEL_INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True, slots=True)
class MaskedLm:
    """Rows: `{"text"}`. Batches: `targets` and `target_weights` as `tasks.targets` has them."""

    text: str = "text"
    mask_share: float = 0.15
    whole_words: bool = False
    num_fillings: int = 5
    vocabulary: Vocabulary | None = None

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "perplexity", "min"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.text,)

    def read(self, raw: Mapping[str, Any]) -> Row:
        row = self.read_input(raw)
        if not row["text"].strip():
            raise ValueError(f"column `{self.text}` is empty")
        return row

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        """A text with any number of mask tokens: none are filled where there are none."""
        return {"text": read_text(raw, self.text, may_be_empty=True)}

    def asked(self, row: Row) -> dict[str, Any]:
        """The text with its middle word hidden."""
        words = row["text"].split(" ")
        words[len(words) // 2] = self._vocabulary.mask_token
        return {self.text: " ".join(words)}

    def identity(self, row: Row) -> str:
        return str(row["text"])

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return ()

    def with_labels(self, labels: tuple[str, ...]) -> MaskedLm:
        return self

    def bound_to(self, tokenizer: PreTrainedTokenizerBase) -> MaskedLm:
        return replace(self, vocabulary=masking.vocabulary(tokenizer, task="masked-lm"))

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """Besides: `unit`, the number of what each token is hidden together with."""
        masking.vocabulary(tokenizer, task="masked-lm")
        texts = [row["text"] for row in rows]
        columns = tokenize(tokenizer, texts, None, max_length=max_length)
        words = _words(tokenizer, texts, max_length=max_length) if self.whole_words and texts else [None] * len(texts)
        columns["unit"] = [
            masking.units(tokenizer, ids, of_text) for ids, of_text in zip(columns["input_ids"], words, strict=True)
        ]
        columns["num_targets"] = [sum(unit != masking.NOT_HIDDEN for unit in each) for each in columns["unit"]]
        return columns

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        """Tokens are hidden in the samples of a split; those to predict are shown as they are."""
        if packed:
            raise ValueError("masked-lm looks both ways: samples cannot be packed")
        ids = [np.asarray(sample["input_ids"], dtype=np.int64) for sample in samples]
        shown = [
            masking.hidden_in(sample, share=self.mask_share, vocabulary=self.vocabulary)
            if "index" in sample
            else (row, np.zeros(len(row), dtype=bool))
            for sample, row in zip(samples, ids, strict=True)
        ]
        target_weights = [
            hidden.astype(np.float32) * weight for (_, hidden), weight in zip(shown, weights, strict=True)
        ]
        return {
            "input_ids": pad([seen for seen, _ in shown], value=pad_id),
            "attention_mask": attention_mask([len(row) for row in ids]),
            "targets": pad(ids, value=pad_id),
            "target_weights": pad(target_weights, value=0, dtype=np.float32),
        }

    def num_targets(self, batch: Batch) -> float:
        """Hidden tokens."""
        return float(batch["target_weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits returned are those of the hidden tokens alone, (targets, vocabulary)."""
        return targets.summed_loss(forward(**_inputs(batch)).logits, batch, label_smoothing=label_smoothing)

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        """A row's mean over its hidden tokens."""
        return targets.row_means(logits, batch)

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        """A text is not right or wrong."""
        return Verdict(is_wrong=False)

    def shown(self, row: Row) -> str:
        return str(row["text"])

    def new_metrics(self) -> PerplexityMetrics:
        return PerplexityMetrics()

    def model_class(self) -> type[Any]:
        return AutoModelForMaskedLM

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {"pad_token_id": tokenizer.pad_token_id}

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        """`text` with each mask filled by its likeliest token, and `fillings`: the likeliest tokens of each mask."""
        logits = model(**_inputs(batch)).logits
        return [
            self._filled(tokenizer, ids[:length], logits[row])
            for row, (ids, length) in enumerate(
                zip(batch["input_ids"], batch["attention_mask"].sum(dim=1).tolist(), strict=True)
            )
        ]

    @property
    def _vocabulary(self) -> Vocabulary:
        assert self.vocabulary is not None, "the task is not bound to its tokenizer"
        return self.vocabulary

    def _filled(self, tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor, logits: torch.Tensor) -> dict[str, Any]:
        places = (ids == self._vocabulary.mask_id).nonzero()[:, 0]
        best = logits[places].float().softmax(dim=-1).topk(min(self.num_fillings, logits.shape[-1]), dim=-1)
        filled = ids.clone()
        filled[places] = best.indices[:, 0]
        fillings = [
            {
                str(tokenizer.decode([token])).strip(): round(probability, 6)
                for token, probability in zip(*pair, strict=True)
            }
            for pair in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        return {"text": tokenizer.decode(filled, skip_special_tokens=True), "fillings": fillings}


def _words(tokenizer: PreTrainedTokenizerBase, texts: list[str], *, max_length: int) -> list[list[int | None]]:
    if not tokenizer.is_fast:
        raise ValueError(
            f"task.whole_words: {type(tokenizer).__name__} does not tell which tokens are one word: set it to false"
        )
    encoded = tokenizer(texts, truncation=True, max_length=max_length, verbose=False)
    return [encoded.word_ids(number) for number in range(len(texts))]


def _inputs(batch: Batch) -> Batch:
    return {name: batch[name] for name in _MODEL_INPUTS}
