"""Which rows and labels count more in the loss of a classification: rare labels, and what is not known yet?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Emphasis:
    """A focal loss and weights of labels; either may be without effect."""

    gamma: float = 0.0  # of the focal loss (Lin et al. 2017, arXiv:1708.02002); 0: none
    weights: tuple[float, ...] = ()  # by label; (): all the same

    def of_rows(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The losses (rows,) of one label a row: `logits` (rows, labels), `labels` (rows,) int64."""
        if self.gamma:
            known = logits.log_softmax(dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1).exp()
            losses = losses * (1.0 - known) ** self.gamma
        if self.weights:
            losses = losses * torch.tensor(self.weights, dtype=losses.dtype, device=losses.device)[labels]
        return losses

    def of_labels(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The losses (rows, labels) of several labels a row, `labels` 0 or 1; a weight counts where its label is."""
        if self.gamma:
            known = torch.where(labels > 0, logits, -logits).sigmoid()
            losses = losses * (1.0 - known) ** self.gamma
        if self.weights:
            weights = torch.tensor(self.weights, dtype=losses.dtype, device=losses.device)
            losses = losses * torch.where(labels > 0, weights, 1.0)
        return losses


def balanced(labels: tuple[str, ...], counts: Mapping[str, int]) -> tuple[float, ...]:
    """Return rows / (labels * rows of the label), so that the mean over the rows is 1; 1 for a label without rows."""
    total, present = sum(counts.values()), sum(1 for label in labels if counts.get(label))
    return tuple(total / (present * counts[label]) if counts.get(label) else 1.0 for label in labels)


def named(labels: tuple[str, ...], weights: Mapping[str, float]) -> tuple[float, ...]:
    """Return the weights of a document by label, 1 where it names none.

    Raises:
        ValueError: it names what is no label.
    """
    unknown = [label for label in weights if label not in labels]
    if unknown:
        raise ValueError(f"{', '.join(map(repr, unknown))} is no label of the data: {', '.join(map(repr, labels))} are")
    return tuple(weights.get(label, 1.0) for label in labels)
