"""What does a classification head learn: one label, several labels or a number?

Each problem says how the value of the label column is read, what its loss is and what its logits mean. The tasks that
put a head over a whole input share them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, assert_never

import torch
from torch import Tensor
from torch.nn import functional

from eagleray.metrics.base import Metrics
from eagleray.metrics.classification import (
    MultiLabelMetrics,
    SingleLabelMetrics,
)
from eagleray.metrics.regression import RegressionMetrics
from eagleray.tasks.base import Verdict
from eagleray.tasks.emphasis import Emphasis
from eagleray.tasks.labels import read_label, read_number, unknown

ProblemName = Literal["single-label", "multi-label", "regression"]


class Problem(Protocol):
    """The meaning of a head's outputs."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]: ...
    def read(self, value: Any, *, column: str) -> Any:
        """The JSON-able label of a row. Raises ValueError."""
        ...

    def labels_of(self, label: Any) -> tuple[str, ...]:
        """The names in a label that `read` returned."""
        ...

    def encode(self, labels: Sequence[Any]) -> list[Any]:
        """Labels as the numbers, or lists of numbers, that `tensor` takes. Raises ValueError for an unknown one."""
        ...

    def tensor(self, encoded: Sequence[Any]) -> torch.Tensor:
        """Encoded labels as a tensor, rows first."""
        ...

    def losses(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, emphasis: Emphasis | None = None
    ) -> Tensor:
        """The loss of each row, (rows,), from fp32 logits (rows, outputs)."""
        ...

    def new_metrics(self) -> Metrics: ...
    def verdict(self, logits: torch.Tensor, label: torch.Tensor) -> Verdict:
        """What the logits of one row, (outputs,), say beside its label, as `tensor` gives it."""
        ...

    def compared(self, logits: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[Any, Any]]:
        """What the logits of rows say, beside the names of their labels."""

    def results(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        """What `predict` says of each row."""
        ...

    def config(self) -> dict[str, Any]:
        """What the model's config has to say."""
        ...


def build(name: ProblemName, *, labels: tuple[str, ...], label_separator: str) -> Problem:
    """The problem of that name."""
    match name:
        case "single-label":
            return SingleLabel(labels)
        case "multi-label":
            return MultiLabel(labels, label_separator)
        case "regression":
            return Regression()
    assert_never(name)


@dataclass(frozen=True, slots=True)
class SingleLabel:
    """Exactly one label a row: cross entropy."""

    labels: tuple[str, ...] = ()

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "f1_macro", "max"

    def read(self, value: Any, *, column: str) -> str:
        label = read_label(value, column=column)
        if self.labels and label not in self.labels:
            unknown(label, self.labels)
        return label

    def labels_of(self, label: str) -> tuple[str, ...]:
        return (label,)

    def encode(self, labels: Sequence[str]) -> list[int]:
        index_of = _index_of(self.labels)
        return [index_of[name] if name in index_of else unknown(name, self.labels) for name in labels]

    def tensor(self, encoded: Sequence[int]) -> torch.Tensor:
        return torch.tensor([int(index) for index in encoded], dtype=torch.int64)

    def losses(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, emphasis: Emphasis | None = None
    ) -> Tensor:
        losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        return losses if emphasis is None else emphasis.of_rows(losses, logits, labels)

    def new_metrics(self) -> SingleLabelMetrics:
        return SingleLabelMetrics(self.labels)

    def verdict(self, logits: torch.Tensor, label: torch.Tensor) -> Verdict:
        probabilities = logits.softmax(dim=-1).tolist()
        own, best = int(label), int(logits.argmax())
        return Verdict(self.labels[own], self.labels[best], own != best, probabilities[own], probabilities[best])

    def compared(self, logits: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[str, str]]:
        for said, true in zip(logits.argmax(dim=-1).tolist(), labels.tolist(), strict=True):
            yield self.labels[said], self.labels[true]

    def results(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        probabilities = _rounded(logits.softmax(dim=-1))
        return [
            {"label": self.labels[best], "probabilities": dict(zip(self.labels, row, strict=True))}
            for best, row in zip(logits.argmax(dim=-1).tolist(), probabilities, strict=True)
        ]

    def config(self) -> dict[str, Any]:
        return {"problem_type": "single_label_classification", **_label_names(self.labels)}


@dataclass(frozen=True, slots=True)
class MultiLabel:
    """Any number of labels a row, also none: binary cross entropy, a row's loss is the mean over the labels.

    The mean keeps the loss, and so the learning rate, comparable between small and large label sets.
    """

    labels: tuple[str, ...] = ()
    separator: str = ","

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "f1_macro", "max"

    def read(self, value: Any, *, column: str) -> list[str]:
        """A list, a JSON list as text, or text with separators. An empty list or text is a row without labels."""
        labels = [read_label(item, column=column) for item in self._items(value, column=column)]
        for label in labels:
            if self.labels and label not in self.labels:
                unknown(label, self.labels)
        return sorted(set(labels))

    def labels_of(self, label: list[str]) -> tuple[str, ...]:
        return tuple(label)

    def encode(self, labels: Sequence[list[str]]) -> list[list[int]]:
        index_of = _index_of(self.labels)
        rows = [[0] * len(self.labels) for _ in labels]
        for row, names in zip(rows, labels, strict=True):
            for name in names:
                row[index_of[name] if name in index_of else unknown(name, self.labels)] = 1
        return rows

    def tensor(self, encoded: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor([list(row) for row in encoded], dtype=torch.float32).reshape(len(encoded), len(self.labels))

    def losses(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, emphasis: Emphasis | None = None
    ) -> Tensor:
        smooth = labels * (1.0 - label_smoothing) + 0.5 * label_smoothing
        losses = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
        return (losses if emphasis is None else emphasis.of_labels(losses, logits, labels)).mean(dim=-1)

    def new_metrics(self) -> MultiLabelMetrics:
        return MultiLabelMetrics(self.labels)

    def verdict(self, logits: torch.Tensor, label: torch.Tensor) -> Verdict:
        own, said = (label > 0).tolist(), (logits > 0).tolist()
        names = [", ".join(itertools.compress(self.labels, marks)) or "none" for marks in (own, said)]
        return Verdict(names[0], names[1], own != said)

    def compared(self, logits: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[list[str], list[str]]]:
        for said, true in zip((logits > 0).tolist(), (labels > 0).tolist(), strict=True):
            yield list(itertools.compress(self.labels, said)), list(itertools.compress(self.labels, true))

    def results(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        chosen = (logits > 0).tolist()
        probabilities = _rounded(logits.sigmoid())
        return [
            {
                "labels": [label for label, is_chosen in zip(self.labels, marks, strict=True) if is_chosen],
                "probabilities": dict(zip(self.labels, row, strict=True)),
            }
            for marks, row in zip(chosen, probabilities, strict=True)
        ]

    def config(self) -> dict[str, Any]:
        return {"problem_type": "multi_label_classification", **_label_names(self.labels)}

    def _items(self, value: Any, *, column: str) -> list[Any]:
        match value:
            case None:
                raise ValueError(f"column `{column}` is missing: give a list, [] for a row without labels")
            case list() | tuple():
                return list(value)
            case str() if value.lstrip().startswith("["):
                return _json_list(value, column=column)
            case str():
                return [item for item in value.split(self.separator) if item.strip()]
        return [value]


@dataclass(frozen=True, slots=True)
class Regression:
    """One number a row: squared error."""

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "mse", "min"

    def read(self, value: Any, *, column: str) -> float:
        return read_number(value, column=column)

    def labels_of(self, label: float) -> tuple[str, ...]:
        return ()

    def encode(self, labels: Sequence[float]) -> list[float]:
        return list(labels)

    def tensor(self, encoded: Sequence[float]) -> torch.Tensor:
        return torch.tensor([float(number) for number in encoded], dtype=torch.float32)

    def losses(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, emphasis: Emphasis | None = None
    ) -> Tensor:
        if label_smoothing or emphasis is not None:
            raise ValueError("label smoothing and weights of labels have no meaning for regression")
        return functional.mse_loss(logits.squeeze(-1), labels, reduction="none")

    def new_metrics(self) -> RegressionMetrics:
        return RegressionMetrics()

    def verdict(self, logits: torch.Tensor, label: torch.Tensor) -> Verdict:
        return Verdict(f"{float(label):.7g}", f"{float(logits.squeeze(-1)):.7g}")

    def compared(self, logits: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[float, float]]:
        yield from zip(logits.squeeze(-1).tolist(), labels.tolist(), strict=True)

    def results(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        # Seven digits are all that fp32 has; printing its float64 form would show ten that mean nothing.
        return [{"value": float(f"{number:.7g}")} for number in logits.squeeze(-1).tolist()]

    def config(self) -> dict[str, Any]:
        return {"problem_type": "regression", "num_labels": 1}


def _rounded(probabilities: torch.Tensor) -> list[list[float]]:
    return [[round(number, 6) for number in row] for row in probabilities.tolist()]


def _json_list(text: str, *, column: str) -> list[Any]:
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"column `{column}` holds {text!r}, which starts like a JSON list but is none: {error}"
        ) from None
    return items if isinstance(items, list) else [items]


def _index_of(labels: tuple[str, ...]) -> dict[str, int]:
    return {label: index for index, label in enumerate(labels)}


def _label_names(labels: tuple[str, ...]) -> dict[str, Any]:
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": _index_of(labels),
    }
