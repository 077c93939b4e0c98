"""Which checkpoint of a set is best, by one metric and direction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypeVar


class Scored(Protocol):
    """Anything with a step and metrics: a manifest, or a checkpoint that is still being written."""

    @property
    def step(self) -> int: ...

    @property
    def metrics(self) -> Mapping[str, Any]: ...


AnyScored = TypeVar("AnyScored", bound=Scored)


def pick(candidates: Iterable[AnyScored], *, metric: str, mode: Literal["max", "min"]) -> AnyScored | None:
    """The candidate with the best value; of equals the one of the earlier step; None where none has a value."""
    sign = 1.0 if mode == "max" else -1.0
    ranked = [
        (-sign * value, candidate.step, candidate)
        for candidate in candidates
        if (value := value_of(candidate.metrics, metric)) is not None
    ]
    return min(ranked, key=lambda each: each[:2])[2] if ranked else None


def value_of(metrics: Mapping[str, Any], metric: str) -> float | None:
    """The number under `metric`; None where it is missing, no number or not finite (a NaN never wins)."""
    value = metrics.get(metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
