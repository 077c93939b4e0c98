"""What is text-classification: one label, several labels or a number for a text or a pair of texts?

Any encoder that `AutoModelForSequenceClassification` loads can learn it, and the decoders that it gives a head too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from eagleray.metrics.base import Metrics
from eagleray.tasks import problems
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.columns import read_probabilities, read_text
from eagleray.tasks.emphasis import Emphasis
from eagleray.tasks.labels import unknown
from eagleray.tasks.padding import attention_mask, pad
from eagleray.tasks.problems import Problem, ProblemName

_MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "features")


@dataclass(frozen=True, slots=True)
class TextClassification:
    """Rows: `{"text", "text_pair" where there is one, "label"}`. Batches: `labels` and `weights` beside the inputs."""

    problem: ProblemName
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    labels: tuple[str, ...] = ()
    label_separator: str = ","
    probabilities: str | None = None

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return self._problem().main_metric

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self._text_columns(), self.label)

    def read(self, raw: Mapping[str, Any]) -> Row:
        row = self.read_input(raw)
        for name, column in (("text", self.text), ("text_pair", self.text_pair)):
            if column is not None and not row[name].strip():
                raise ValueError(f"column `{column}` is empty")
        row["label"] = self._problem().read(raw.get(self.label), column=self.label)
        if self.probabilities is not None and raw.get(self.probabilities) is not None:
            row["probabilities"] = read_probabilities(raw, self.probabilities)
        return row

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        """An empty text is allowed here: a service has to answer to it, training has nothing to learn from it."""
        row = {"text": read_text(raw, self.text, may_be_empty=True)}
        if self.text_pair is not None:
            row["text_pair"] = read_text(raw, self.text_pair, may_be_empty=True)
        return row

    def identity(self, row: Row) -> str:
        # The length keeps ("a", "bc") and ("ab", "c") apart.
        return f"{len(row['text'])}:{row['text']}{row['text_pair']}" if "text_pair" in row else str(row["text"])

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return self._problem().labels_of(row["label"])

    def with_labels(self, labels: tuple[str, ...]) -> TextClassification:
        return replace(self, labels=() if self.problem == "regression" else labels)

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        texts = [row["text"] for row in rows]
        pairs = [row["text_pair"] for row in rows] if self.text_pair is not None else None
        columns = tokenize(tokenizer, texts, pairs, max_length=max_length)
        columns["num_targets"] = [int("label" in row) for row in rows]
        if rows and all("label" in row for row in rows):
            columns["label"] = self._problem().encode([row["label"] for row in rows])
            if self.probabilities is not None:
                columns["probabilities"] = [self._distribution(row) for row in rows]
        return columns

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("text-classification has one output a row: samples cannot be packed")
        batch = {
            "input_ids": pad([sample["input_ids"] for sample in samples], value=pad_id),
            "attention_mask": attention_mask([len(sample["input_ids"]) for sample in samples]),
            "weights": torch.as_tensor(weights, dtype=torch.float32),
        }
        if "token_type_ids" in samples[0]:
            batch["token_type_ids"] = pad([sample["token_type_ids"] for sample in samples], value=0)
        if "label" in samples[0]:
            batch["labels"] = self._problem().tensor([sample["label"] for sample in samples])
        if "probabilities" in samples[0]:
            batch["probabilities"] = torch.from_numpy(
                np.array([sample["probabilities"] for sample in samples], np.float32)
            )
        return batch

    def num_targets(self, batch: Batch) -> float:
        """Rows: also for several labels, whose losses are averaged within a row."""
        return float(batch["weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0, emphasis: Emphasis | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = forward(**_inputs(batch)).logits.float()
        problem = self._problem()
        targets = batch.get("probabilities", batch["labels"])
        losses = problem.losses(logits, targets, label_smoothing=label_smoothing, emphasis=emphasis)
        return (losses * batch["weights"]).sum(), logits

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        return self._problem().losses(logits, batch["labels"]).cpu()

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        return self._problem().verdict(logits[row].cpu(), batch["labels"][row].cpu())

    @property
    def numbered(self) -> tuple[str, ...]:
        return self.labels

    def compared(self, logits: torch.Tensor, batch: Batch) -> Iterator[tuple[Any, Any]]:
        """Labels, sets of them, or numbers."""
        return self._problem().compared(logits.cpu(), batch["labels"].cpu())

    def shown(self, row: Row) -> str:
        return "\n".join(str(row[name]) for name in ("text", "text_pair") if name in row)

    def new_metrics(self) -> Metrics:
        return self._problem().new_metrics()

    def model_class(self) -> type[Any]:
        return AutoModelForSequenceClassification

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        # Decoders find the last token of a row by the padding id, so it must be the one that collate pads with.
        return {**self._problem().config(), "pad_token_id": tokenizer.pad_token_id}

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        return self._problem().results(model(**_inputs(batch)).logits.float())

    def _problem(self) -> Problem:
        return problems.build(self.problem, labels=self.labels, label_separator=self.label_separator)

    def _distribution(self, row: Row) -> list[float]:
        """How probable each label is: its own certain, where a row does not say."""
        given: Mapping[str, float] = row.get("probabilities", {row["label"]: 1.0})
        for label in given:
            if label not in self.labels:
                unknown(label, self.labels)
        total = sum(given.values())
        return [given.get(label, 0.0) / total for label in self.labels]

    def _text_columns(self) -> tuple[str, ...]:
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, *, max_length: int
) -> dict[str, list[Any]]:
    """`input_ids`, `full_length` and, for pairs where the tokenizer knows them, `token_type_ids`.

    Everything is tokenised whole to learn its length; only what is too long is tokenised again with the cut, because
    where a cut falls, and which special tokens follow it, is the tokenizer's to say.
    """
    if not texts:
        return {"input_ids": [], "full_length": []}
    with_types = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    options = {"return_attention_mask": False, "return_token_type_ids": with_types, "verbose": False}
    whole = tokenizer(texts, pairs, **options)
    columns: dict[str, list[Any]] = {name: list(whole[name]) for name in whole}
    columns["full_length"] = [len(ids) for ids in columns["input_ids"]]
    too_long = [index for index, length in enumerate(columns["full_length"]) if length > max_length]
    if not too_long:
        return columns
    long_pairs = None if pairs is None else [pairs[index] for index in too_long]
    cut = tokenizer([texts[index] for index in too_long], long_pairs, truncation=True, max_length=max_length, **options)
    for name in cut:
        for index, values in zip(too_long, cut[name], strict=True):
            columns[name][index] = values
    return columns


def _inputs(batch: Batch) -> Batch:
    return {name: batch[name] for name in _MODEL_INPUTS if name in batch}
