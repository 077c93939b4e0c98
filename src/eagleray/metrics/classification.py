"""How well do predicted labels agree with the true ones, one label a row or several?"""

from __future__ import annotations

import math
from typing import Any

import torch

from eagleray.metrics import calibration
from eagleray.metrics.averages import averages, per_class, ratio


class SingleLabelMetrics:
    """One confusion matrix, and how far its probabilities can be believed.

    State: loss, rows, the matrix, row by row (true, predicted), and the sums of `calibration`.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._cells = slice(2, 2 + len(labels) ** 2)
        self.state = torch.zeros(2 + len(labels) ** 2 + calibration.SIZE, dtype=torch.float64)

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add rows: `logits` (rows, classes), `batch["labels"]` (rows,) int64, `batch["weights"]` (rows,)."""
        weights = batch["weights"].to("cpu", torch.float64)
        labels, predicted = batch["labels"].cpu(), logits.detach().argmax(dim=-1).cpu()
        cells = labels * len(self._labels) + predicted
        self.state[0] += loss_sum
        self.state[1] += weights.sum()
        self.state[self._cells] += torch.bincount(cells, weights=weights, minlength=len(self._labels) ** 2)
        probabilities = logits.detach().softmax(dim=-1).amax(dim=-1)
        calibration.add(self.state[self._cells.stop :], probabilities, predicted == labels, weights)

    def compute(self) -> dict[str, Any]:
        """Macro averages run over the classes that were seen or predicted, as scikit-learn's do."""
        rows = float(self.state[1])
        confusion = self.state[self._cells].view(len(self._labels), len(self._labels))
        hits, predicted, actual = confusion.diagonal(), confusion.sum(dim=0), confusion.sum(dim=1)
        present = (predicted + actual) > 0
        return {
            "loss": float(self.state[0]) / max(rows, 1.0),
            "accuracy": float(hits.sum()) / max(rows, 1.0),
            **averages(hits[present], predicted[present], actual[present]),
            "matthews": _matthews(hits, predicted, actual),
            **calibration.compute(self.state[self._cells.stop :]),
            "confusion_matrix": [[round(cell) for cell in row] for row in confusion.tolist()],
            "per_class": per_class(self._labels, hits, predicted, actual),
        }


class MultiLabelMetrics:
    """Averages from three counts a label, and how far the probabilities of the labels can be believed.

    State: loss, rows, rows wholly right; hits, predicted and actual of each label; the sums of `calibration`. A label
    is predicted where its logit is above 0, which is a probability above 0.5. `accuracy` is the share of rows whose set
    of labels is wholly right.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._counts = slice(3, 3 + 3 * len(labels))
        self.state = torch.zeros(3 + 3 * len(labels) + calibration.SIZE, dtype=torch.float64)

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add rows: `logits` and `batch["labels"]` (rows, labels), the latter 0 or 1; `batch["weights"]` (rows,)."""
        weights = batch["weights"].to("cpu", torch.float64)
        actual = batch["labels"].to("cpu", torch.float64)
        predicted = (logits.detach().cpu() > 0).to(torch.float64)
        self.state[0] += loss_sum
        self.state[1] += weights.sum()
        self.state[2] += (weights * (predicted == actual).all(dim=1)).sum()
        counts = torch.cat([weights @ (predicted * actual), weights @ predicted, weights @ actual])
        self.state[self._counts] += counts
        probabilities = logits.detach().abs().sigmoid()  # of what is said of each label, be it yes or no
        calibration.add(
            self.state[self._counts.stop :],
            probabilities.flatten(),
            (predicted == actual).flatten(),
            weights.repeat_interleave(len(self._labels)),
        )

    def compute(self) -> dict[str, Any]:
        """Macro averages run over all labels, as scikit-learn's do for an indicator matrix."""
        rows = float(self.state[1])
        hits, predicted, actual = self.state[self._counts].view(3, len(self._labels))
        return {
            "loss": float(self.state[0]) / max(rows, 1.0),
            "accuracy": float(self.state[2]) / max(rows, 1.0),
            **averages(hits, predicted, actual),
            **calibration.compute(self.state[self._counts.stop :]),
            "per_class": per_class(self._labels, hits, predicted, actual),
        }


def _matthews(hits: torch.Tensor, predicted: torch.Tensor, actual: torch.Tensor) -> float:
    """Matthews' correlation for any number of classes (Gorodkin 2004), 0 where one side is constant."""
    rows = actual.sum()
    covariance = hits.sum() * rows - predicted @ actual
    spread = (rows**2 - predicted @ predicted) * (rows**2 - actual @ actual)
    return float(ratio(covariance, torch.tensor(math.sqrt(max(float(spread), 0.0)), dtype=torch.float64)))
