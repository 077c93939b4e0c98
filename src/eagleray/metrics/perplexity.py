"""How surprised is a language model by each next token?"""

from __future__ import annotations

import math
from typing import Any

import torch

LARGEST_EXPONENT = 700.0  # e^700 is the last round number below the float64 limit: a diverged loss stays a JSON number


class PerplexityMetrics:
    """State: loss, target tokens, target tokens whose most likely prediction was right."""

    def __init__(self) -> None:
        self.state = torch.zeros(3, dtype=torch.float64)

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add target positions: `logits` (targets, vocabulary) of those positions of `batch["targets"]` that count.

        Or (rows, length, vocabulary) of all positions.
        """
        counted = batch["target_weights"] > 0
        weights = batch["target_weights"][counted].to("cpu", torch.float64)
        said = logits.detach().argmax(dim=-1)
        said = said[counted] if said.dim() == 2 else said
        right = (said == batch["targets"][counted]).to("cpu", torch.float64)
        self.state += torch.stack([torch.tensor(loss_sum, dtype=torch.float64), weights.sum(), weights @ right])

    def compute(self) -> dict[str, Any]:
        """`loss` is a token's mean, natural logarithm; `perplexity` its exponential."""
        loss_sum, num_tokens, right = self.state.tolist()
        loss = loss_sum / max(num_tokens, 1.0)
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, LARGEST_EXPONENT)),
            "token_accuracy": right / max(num_tokens, 1.0),
            "num_tokens": round(num_tokens),
        }
