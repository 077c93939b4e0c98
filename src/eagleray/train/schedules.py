"""What share of the learning rate a step gets, as a pure function of the step."""

from __future__ import annotations

import math
from typing import assert_never

from eagleray.spec.schedule import (
    ConstantSpec,
    CosineSpec,
    CosineWithRestartsSpec,
    CyclicalSpec,
    LinearSpec,
    OneCycleSpec,
    PolynomialSpec,
    ReduceOnPlateauSpec,
    ScheduleSpec,
)


def multiplier(schedule: ScheduleSpec, *, step: int, total_steps: int) -> float:
    """Return the factor on the learning rate for optimizer step `step` (the first is 0) of `total_steps`.

    What a plateau takes off it depends on the metrics, and comes beside it.
    """
    warmup_steps = num_warmup_steps(schedule, total_steps=total_steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    match schedule:
        case ConstantSpec() | ReduceOnPlateauSpec():
            return 1.0
        case LinearSpec():
            return 1.0 - progress
        case CosineSpec(final=final):
            return final + (1.0 - final) * _half_cosine(progress)
        case CosineWithRestartsSpec(cycles=cycles):
            return _half_cosine(progress * cycles % 1.0) if progress < 1.0 else 0.0
        case CyclicalSpec(cycles=cycles, low=low):
            return low + (1.0 - low) * (1.0 - abs(2.0 * (progress * cycles % 1.0) - 1.0))
        case PolynomialSpec(power=power, final=final):
            return float(final + (1.0 - final) * (1.0 - progress) ** power)
        case OneCycleSpec(rise=rise, low=low, final=final):
            if progress < rise:
                return 1.0 - (1.0 - low) * _half_cosine(progress / rise)
            return final + (1.0 - final) * _half_cosine((progress - rise) / (1.0 - rise))
        case _:
            assert_never(schedule)


def num_warmup_steps(schedule: ScheduleSpec, *, total_steps: int) -> int:
    """Return how many steps the rate rises before its shape: `warmup_steps`, or `warmup` of all steps rounded up."""
    if isinstance(schedule, OneCycleSpec):
        return 0
    return schedule.warmup_steps or math.ceil(schedule.warmup * total_steps)


def _half_cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))
