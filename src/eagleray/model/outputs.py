"""What does a model return, and which tensor of it is its answer?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Output:
    """What a model returns for a batch."""

    logits: torch.Tensor


def logits(output: Any) -> torch.Tensor:
    """`logits`, or where a head says for each token how well an answer begins and ends there, (rows, length, 2)."""
    if getattr(output, "start_logits", None) is not None:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    found: torch.Tensor = output.logits
    return found
