"""How sure does a model prefer the better of two answers, compared with the model that it began as?"""

from __future__ import annotations

from typing import Any

import torch


class PreferenceMetrics:
    """State: loss, rows, rows whose chosen answer has the higher reward, rewards of the chosen, of the rejected."""

    def __init__(self) -> None:
        self.state = torch.zeros(5, dtype=torch.float64)

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add rows: `logits` (rows, 2) are the rewards of the chosen and the rejected answer."""
        weights = batch["weights"].to("cpu", torch.float64)
        chosen, rejected = logits.detach().to("cpu", torch.float64).unbind(dim=1)
        right = (chosen > rejected).to(torch.float64)
        self.state[0] += loss_sum
        self.state[1:] += torch.stack([torch.ones_like(right), right, chosen, rejected]) @ weights

    def compute(self) -> dict[str, Any]:
        """Means over the rows; a reward is beta times what the log probability has gained since the start."""
        loss, rows, right, chosen, rejected = self.state.tolist()
        count = max(rows, 1.0)
        return {
            "loss": loss / count,
            "reward_accuracy": right / count,
            "reward_margin": (chosen - rejected) / count,
            "chosen_reward": chosen / count,
            "rejected_reward": rejected / count,
        }
