"""When are trials looked at, and how many steps do they take by that? Pure arithmetic on a sweep's scheduler."""

from __future__ import annotations

import bisect
import math
import random

from eagleray.errors import UserError
from eagleray.spec.search import AshaSpec, FifoSpec, HyperbandSpec, MedianSpec, PbtSpec, SchedulerSpec

_GRACE_SHARE = 9  # two rungs below the last at a reduction by three
_SIMULATED_TRIALS = 20_000


def grace_steps(scheduler: SchedulerSpec, total_steps: int) -> int:
    """Return after how many steps a trial is looked at for the first time.

    Raises:
        UserError: a trial has come to its end before.
    """
    last = min(total_steps, getattr(scheduler, "max_steps", None) or total_steps)
    if isinstance(scheduler, AshaSpec | MedianSpec) and (scheduler.grace_steps or 0) > last:
        raise UserError(
            f"spec.sweep.scheduler.grace_steps: {scheduler.grace_steps} is more than the {last} optimizer steps of a "
            "trial: none could ever be stopped; give less, or leave it out"
        )
    match scheduler:
        case AshaSpec():
            return scheduler.grace_steps or max(1, (scheduler.max_steps or total_steps) // _GRACE_SHARE)
        case MedianSpec():
            return scheduler.grace_steps or max(1, total_steps // _GRACE_SHARE)
        case PbtSpec():
            return scheduler.every_steps
        case HyperbandSpec():
            return max(1, (scheduler.max_steps or total_steps) // _GRACE_SHARE)
        case FifoSpec():
            return max(1, total_steps // _GRACE_SHARE)


def rungs(*, grace_steps: int, max_steps: int, reduction_factor: int) -> tuple[int, ...]:
    """Return after how many steps successive halving compares trials."""
    found = []
    rung = grace_steps
    while rung <= max_steps:
        found.append(rung)
        rung *= reduction_factor
    return tuple(found)


def expected_steps(num_trials: int, *, rungs: tuple[int, ...], last_step: int, reduction_factor: int) -> float:
    """Return the optimizer steps that trials take together under asynchronous successive halving, on average.

    Trials whose quality is random, and the same at each rung, are let through one after another: the k-th to reach a
    rung goes on if it is among the best ceil(k / reduction_factor) of those k.
    """
    compared = [rung for rung in rungs if rung < last_step]
    draw = random.Random(0)  # the same answer each time
    repeats = -(-_SIMULATED_TRIALS // num_trials)
    steps = 0
    for _ in range(repeats):
        reached: dict[int, list[float]] = {rung: [] for rung in compared}
        for _ in range(num_trials):
            cost = draw.random()
            steps += next((rung for rung in compared if not _goes_on(cost, reached[rung], reduction_factor)), last_step)
    return steps / repeats


def _goes_on(cost: float, reached: list[float], reduction_factor: int) -> bool:
    """Whether the next at a rung, where those of `reached` were before, best first, is good enough."""
    bisect.insort(reached, cost)
    return bisect.bisect_left(reached, cost) < math.ceil(len(reached) / reduction_factor)
