"""What mistakes cost a cinema: a bad film that is shown costs more than a good one that is not."""

from __future__ import annotations

from collections.abc import Sequence


def cost(said: Sequence[str], true: Sequence[str], *, shown: float = 3.0) -> float:
    """The mean cost of a row."""
    costs = {("fresh", "rotten"): shown, ("rotten", "fresh"): 1.0}
    return sum(costs.get((one, other), 0.0) for one, other in zip(said, true, strict=True)) / len(true)
