"""Whether a run should stop because a metric no longer improves: a pure state machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class EarlyStoppingState:
    """The best value so far and how many evaluations have passed since."""

    best: float | None = None
    num_without_improvement: int = 0


class Patience(Protocol):
    """What counts as an improvement, and how long there may be none: early stopping, or a rate that falls."""

    @property
    def mode(self) -> Literal["max", "min"]: ...
    @property
    def patience(self) -> int: ...
    @property
    def min_delta(self) -> float: ...


def observe(state: EarlyStoppingState, value: float, spec: Patience) -> EarlyStoppingState:
    """Return the state after an evaluation gave `value`. A value that is not a number never improves."""
    if _improves(value, state.best, spec):
        return EarlyStoppingState(best=value)
    return replace(state, num_without_improvement=state.num_without_improvement + 1)


def should_stop(state: EarlyStoppingState, spec: Patience) -> bool:
    """Tell whether the patience is used up."""
    return state.num_without_improvement >= spec.patience


def _improves(value: float, best: float | None, spec: Patience) -> bool:
    if math.isnan(value):
        return False
    if best is None:
        return True
    gain = value - best if spec.mode == "max" else best - value
    return gain > spec.min_delta
