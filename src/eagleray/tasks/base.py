"""What does every task offer to the data, the training loop and the prediction?

A task is one frozen value that knows how a raw row is read, how it becomes a sample, how samples become a batch, what
is minimised and what is reported. The loop, the data preparation and `predict` know tasks by this protocol alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from eagleray.metrics.base import Metrics

Row = dict[str, Any]
"""One row after reading: checked, normalised, JSON-able."""

Sample = dict[str, Any]
"""One encoded row: the columns of `Task.encode` for it, lists or numpy arrays and numbers.

Of a split also its `index`, and where it is trained on `draw`, seed and epoch: what a task draws for a sample at random
follows from these alone. A sample to predict has neither."""

Batch = dict[str, torch.Tensor]
"""One padded micro batch; the first dimension of what a model reads is rows. A row has one sample, but for packed rows
and for windows, of which a long sample has several: what holds for a sample then has samples as its first dimension."""

Forward = Callable[..., Any]
"""The model, or the engine around it: `forward(input_ids=…, …)` returns an object with `logits`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model said of a row, beside what is true, in words."""

    label: str = ""
    answer: str = ""
    is_wrong: bool = True
    label_probability: float | None = None
    answer_probability: float | None = None


class Task(Protocol):
    """What is learned. Immutable: `with_labels` returns another task."""

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        """The metric that ranks checkpoints where the document names none, and its direction."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set in its order; () where there is none, or where the data shall tell."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every raw row must have."""
        ...

    def read(self, raw: Mapping[str, Any]) -> Row:
        """Check and normalise one raw row.

        Raises:
            ValueError: what is wrong with it, without the place.
        """
        ...

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        """The same without the label or target: a row to predict. Raises ValueError likewise."""
        ...

    def identity(self, row: Row) -> str:
        """The input alone: two rows of one identity are duplicates."""
        ...

    def labels_of(self, row: Row) -> tuple[str, ...]:
        """The labels of a row; () where the task has none."""
        ...

    def with_labels(self, labels: tuple[str, ...]) -> Task:
        """The same task with this label set."""
        ...

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """Tokenise rows into columns of equal length.

        Always `input_ids` (list of int, at most `max_length` unless `collate` makes windows of them), `full_length`
        (tokens before the cut) and `num_targets` (0 for a row whose targets were all cut, and for rows of
        `read_input`); besides, what `collate` needs.
        """
        ...

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        """Pad samples into a batch. `weights` (samples,): 1.0, or 0.0 for filler that must not count.

        `packed` puts several samples into a row of at most `max_length` tokens; only causal-lm can.
        """
        ...

    def num_targets(self, batch: Batch) -> float:
        """By how much the summed loss of a batch is divided, summed over all batches of a step, to be a mean."""
        ...

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted SUM of the losses over the targets (scalar, with gradient), and the logits for `Metrics`."""
        ...

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        """The loss of each sample by the logits of `loss`, (samples,) on the CPU; None where rows are packed."""
        ...

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        """What the logits of `loss` say of one sample of the batch."""
        ...

    def shown(self, row: Row) -> str:
        """The input of a row as people read it."""
        ...

    def new_metrics(self) -> Metrics:
        """Empty metrics for one evaluation."""
        ...

    def model_class(self) -> type[Any]:
        """The Auto class of transformers that loads a model with this task's head."""
        ...

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """What the task sets in the model's config: number of labels, their names, the padding token."""
        ...

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        """One JSON-able result a sample, in the batch's order. Called in evaluation mode, without gradients."""
        ...


@runtime_checkable
class Bound(Protocol):
    """A task that has to know more of the tokenizer than its padding, also where it makes batches."""

    def bound_to(self, tokenizer: Any) -> Task:
        """The same task with what it has to know. Raises UserError where the tokenizer does not fit."""
        ...


@runtime_checkable
class Referring(Protocol):
    """A task whose loss compares the model with what it was before its first step."""

    @property
    def reference_columns(self) -> tuple[str, ...]:
        """The columns that samples get of it."""
        ...

    def reference(self, forward: Forward, batch: Batch) -> torch.Tensor:
        """What the model says of each sample: (samples, columns)."""
        ...


@runtime_checkable
class Asking(Protocol):
    """A task that is asked other rows than those it learns from."""

    def asked(self, row: Row) -> dict[str, Any]:
        """A row to learn from as a caller would ask about it.

        Not `question`: a task that asks one has a column of that name, and would pass for one of these.
        """
        ...


@runtime_checkable
class Writing(Protocol):
    """A task whose answers are texts, which can be measured by those that were wanted."""

    @property
    def written_by(self) -> tuple[str, ...]:
        """The metrics of its texts."""
        ...

    @property
    def pairs(self) -> Mapping[str, str]:
        """The pairs of languages that are told apart, by name; rows say by `pair` which they are."""
        ...

    @property
    def bleu_tokenizer(self) -> str: ...
    @property
    def wordnet(self) -> str | None: ...
    def prompted(self, row: Row) -> Row:
        """A row to learn from without its answer."""
        ...

    def wanted(self, row: Row) -> str:
        """The answer of a row to learn from."""
        ...


@runtime_checkable
class Comparable(Protocol):
    """A task that says something of each row that can be compared with what is true."""

    @property
    def numbered(self) -> tuple[str, ...]:
        """The labels in the order in which a metric that wants numbers counts them; () where there are none."""
        ...

    def compared(self, logits: torch.Tensor, batch: Batch) -> Iterator[tuple[Any, Any]]:
        """What the logits of `loss` say of each sample, and what is true: both JSON-able."""
        ...


def num_cells_of(batch: Batch) -> int:
    """The places of a batch that are computed, padding among them."""
    return batch["input_ids"].numel() if "input_ids" in batch else len(next(iter(batch.values())))
