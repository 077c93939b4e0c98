"""How far can a probability be believed? Answers in bins of their probability, and how many of each bin are right.

The gap between the two, each bin's weighted by its answers, is the expected calibration error (Guo et al. 2017,
arXiv:1706.04599).
"""

from __future__ import annotations

from typing import Any

import torch

from eagleray.metrics.averages import ratio

BINS = 15
SIZE = 3 * BINS
"""Of a bin: answers, the sum of their probabilities, right answers."""


def add(state: torch.Tensor, probabilities: torch.Tensor, is_right: torch.Tensor, weights: torch.Tensor) -> None:
    """Add answers into `state`, (SIZE,) float64. All others are (answers,): the probability that the model gave to what
    it said, whether that is right, and 0 where it must not count."""
    weights = weights.to("cpu", torch.float64)
    probabilities = probabilities.detach().to("cpu", torch.float64).nan_to_num(0.0)
    bins = (probabilities * BINS).long().clamp(0, BINS - 1)
    sums = state.view(3, BINS)
    for row, values in zip(sums, (weights, weights * probabilities, weights * is_right.to("cpu")), strict=True):
        row.index_add_(0, bins, values)


def compute(state: torch.Tensor) -> dict[str, Any]:
    """`calibration_error` from 0 (each probability is the share of right answers) to 1, and `calibration` by bin."""
    counts, probabilities, right = state.view(3, BINS)
    error = (right - probabilities).abs().sum() / counts.sum().clamp_min(1.0)
    return {
        "calibration_error": float(error),
        "calibration": {
            "counts": [round(count) for count in counts.tolist()],
            "probabilities": ratio(probabilities, counts).tolist(),
            "right": ratio(right, counts).tolist(),
        },
    }
