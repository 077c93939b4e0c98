"""How far are predicted numbers from the true ones?"""

from __future__ import annotations

import math
from typing import Any

import torch


class RegressionMetrics:
    """State: loss, rows, |error|, error², true, true², predicted, predicted², true * predicted.

    The sums are of the values as they are, so `r2` and `pearson` lose about as many digits as the square of
    mean / deviation has: with float64 four digits remain up to a mean of a million deviations.
    """

    def __init__(self) -> None:
        self.state = torch.zeros(9, dtype=torch.float64)

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add rows: `logits` (rows, 1), `batch["labels"]` and `batch["weights"]` (rows,)."""
        weights = batch["weights"].to("cpu", torch.float64)
        actual = batch["labels"].to("cpu", torch.float64)
        predicted = logits.detach().to("cpu", torch.float64).squeeze(-1)
        error = predicted - actual
        errors = [torch.ones_like(error), error.abs(), error**2]
        moments = [actual, actual**2, predicted, predicted**2, actual * predicted]
        self.state[0] += loss_sum
        self.state[1:] += torch.stack(errors + moments) @ weights

    def compute(self) -> dict[str, Any]:
        """`r2` is 0 where all true values are equal (1 if all are hit), `pearson` where those of either side are."""
        loss, rows, absolute, squared, actual, actual2, predicted, predicted2, product = self.state.tolist()
        count = max(rows, 1.0)
        spread_actual = max(actual2 - actual**2 / count, 0.0)
        spread_predicted = max(predicted2 - predicted**2 / count, 0.0)
        covariance = product - actual * predicted / count
        spread = math.sqrt(spread_actual * spread_predicted)
        mse = squared / count
        return {
            "loss": loss / count,
            "mse": mse,
            "rmse": math.sqrt(mse),
            "mae": absolute / count,
            "r2": 1.0 - squared / spread_actual if spread_actual else float(squared == 0.0),
            "pearson": covariance / spread if spread else 0.0,
        }
