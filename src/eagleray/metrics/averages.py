"""What do per-class counts say: precision, recall and F1, each class and averaged?

The definitions are scikit-learn's with `zero_division=0`: a ratio without a denominator is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def ratio(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """Elementwise quotient, 0 where the denominator is 0."""
    return torch.where(denominator > 0, numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny), 0.0)


def averages(hits: torch.Tensor, predicted: torch.Tensor, actual: torch.Tensor) -> dict[str, float]:
    """Macro, micro and weighted averages from counts a class, each (classes,)."""
    scores = {"precision": ratio(hits, predicted), "recall": ratio(hits, actual), "f1": _f1(hits, predicted, actual)}
    total_hits, total_predicted, total_actual = hits.sum(), predicted.sum(), actual.sum()
    micro = {
        "precision": ratio(total_hits, total_predicted),
        "recall": ratio(total_hits, total_actual),
        "f1": _f1(total_hits, total_predicted, total_actual),
    }
    averaged: dict[str, float] = {}
    for name, score in scores.items():
        averaged[f"{name}_macro"] = float(score.mean()) if len(score) else 0.0
        averaged[f"{name}_micro"] = float(micro[name])
        averaged[f"{name}_weighted"] = float(ratio((score * actual).sum(), total_actual))
    return averaged


def per_class(
    labels: Sequence[str], hits: torch.Tensor, predicted: torch.Tensor, actual: torch.Tensor
) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and the number of rows of each class, by its label."""
    precision, recall, f1 = ratio(hits, predicted), ratio(hits, actual), _f1(hits, predicted, actual)
    return {
        label: {
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": round(float(actual[index])),
        }
        for index, label in enumerate(labels)
    }


def _f1(hits: torch.Tensor, predicted: torch.Tensor, actual: torch.Tensor) -> torch.Tensor:
    return ratio(2 * hits, predicted + actual)
