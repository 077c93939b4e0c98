"""What is a metric that is exact over any number of ranks and needs no memory for the rows it saw?"""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Metrics(Protocol):
    """Metrics of one evaluation as a vector of sums.

    Merging ranks is adding their `state`; `compute` turns the sums into numbers: exact however the rows were spread.
    """

    @property
    def state(self) -> torch.Tensor:
        """The sums: (size,) float64 on the CPU. The caller may add another rank's into it in place."""
        ...

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add one batch: its summed loss, and its logits against its targets. Rows of weight 0 do not count."""
        ...

    def compute(self) -> dict[str, Any]:
        """The metrics by name: numbers, and where there are classes `confusion_matrix`, `per_class` and
        `calibration`."""
        ...
