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
    """The candidate with the best value; of equals the one of the lowest loss, then of the earliest step.

    A metric that counts right answers ties on few rows, and the loss still tells how sure the model is. None where no
    candidate has a value.
    """
    sign = 1.0 if mode == "max" else -1.0
    ranked = [
        (-sign * value, _loss(candidate), candidate.step, candidate)
        for candidate in candidates
        if (value := value_of(candidate.metrics, metric)) is not None
    ]
    return min(ranked, key=lambda each: each[:3])[3] if ranked else None


def _loss(candidate: Scored) -> float:
    loss = value_of(candidate.metrics, "loss")
    return math.inf if loss is None else loss


def value_of(metrics: Mapping[str, Any], metric: str) -> float | None:
    """The number under `metric`; None where it is missing, no number or not finite (a NaN never wins)."""
    value = metrics.get(metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
