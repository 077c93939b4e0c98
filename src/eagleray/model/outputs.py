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
    """`logits`; of a head for answers how well one begins and ends at each token, (rows, length, 2).

    Of two heads that were pretrained together it is the one for the row.
    """
    if getattr(output, "start_logits", None) is not None:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    if getattr(output, "seq_relationship_logits", None) is not None:
        return output.seq_relationship_logits  # type: ignore[no-any-return]
    found: torch.Tensor = output.logits
    return found
