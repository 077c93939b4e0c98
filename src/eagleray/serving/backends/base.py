"""What does a task need of whatever runs its model?"""

from __future__ import annotations

from typing import Protocol

import torch


class Output(Protocol):
    """What a model returns for a batch."""

    @property
    def logits(self) -> torch.Tensor:
        """(rows, outputs)."""
        ...


class Backend(Protocol):
    """A model that has learned; `Task.predict` takes it as its model."""

    def __call__(self, **inputs: torch.Tensor) -> Output:
        """One forward pass. `inputs` are what `Task.predict` takes from a batch, (rows, length) int64 each."""
        ...
