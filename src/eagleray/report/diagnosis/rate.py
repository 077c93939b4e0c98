"""Is the learning rate too high or too low, and does the run converge at all? By its training loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from eagleray.report.diagnosis.finding import Finding, Point, finite, mean, parts

DIVERGED = 1.3
"""A loss that rises to so many times what it was before has diverged."""
LEAST_RISE = 0.1
FLAT = 0.03
"""A loss that falls by less than this share of itself has not fallen."""
SLOW = 0.15
"""One that falls by less than this, and all the time, falls slowly."""
PARTS = 8
"""The loss is looked at in so many parts of the run, by their means: single batches say little."""
HIGH = {"full": 3e-4, "freeze": 3e-3, "lora": 3e-3, "ia3": 3e-2, "p_tuning_v2": 5e-2, "prompt_tuning": 1.0}
"""Above these rates a loss that does not fall speaks for a rate that is too high, below them for one too low."""

USUAL = {"full": 5e-5, "freeze": 5e-4, "lora": 5e-4, "ia3": 5e-3, "p_tuning_v2": 1e-2, "prompt_tuning": 0.1}


def learning_rate(
    training: Sequence[Point], *, rate: float, method: str, was_not_finite: bool = False
) -> Iterator[Finding]:
    """Look at the shape of the training loss. `rate` is the highest; `was_not_finite`: such a loss ended the run."""
    known = finite(training)
    broken = next((step for step, loss in training if not math.isfinite(loss)), None)
    if broken is not None or was_not_finite:
        yield _too_high(rate, method, "the loss was no number any more", broken)
        return
    if len(known) < PARTS:
        return
    means = [mean(part) for part in parts(known, PARTS)]
    first, least, last = means[0], min(means), means[-1]
    evidence = f"the training loss began at {first:.4g} and ended at {last:.4g}"
    if _has_risen(max(means), first) or _has_risen(last, least):
        (turned, low), (peak, high) = _rise(known)
        risen = f"the training loss rose from {low:.4g} at step {turned:,} to {high:.4g} at step {peak:,}"
        yield _too_high(rate, method, risen, turned)
        return
    fell = (first - last) / abs(first) if first else 0.0
    if fell < FLAT:
        yield _not_converging(rate, method, evidence)
    elif fell < SLOW and all(later < sooner for sooner, later in pairwise(means[::2])):
        yield Finding(
            "warning",
            "The learning rate is too low",
            f"{evidence}: it fell by {fell:.1%}, evenly, over {known[-1][0]:,} steps at a rate of {rate:g}",
            f"Raise train.learning_rate, to {3 * rate:.2g} or {10 * rate:.2g}",
        )


def _has_risen(value: float, before: float) -> bool:
    return value > max(DIVERGED * before, before + LEAST_RISE)


def _rise(known: Sequence[Point]) -> tuple[Point, Point]:
    """The two points, one after the other, between which the loss rose most."""
    low, best = known[0], (known[0], known[0])
    for point in known:
        if point[1] < low[1]:
            low = point
        if point[1] - low[1] > best[1][1] - best[0][1]:
            best = low, point
    return best


def _lower(rate: float, method: str) -> str:
    """To what a rate should be lowered: one that is far off goes to what is usual at once."""
    if rate > 10 * HIGH.get(method, HIGH["full"]):
        return f"to {USUAL.get(method, USUAL['full']):g}, which is usual with method.type {method}"
    return f"to {rate / 3:.2g} or {rate / 10:.2g}"


def _too_high(rate: float, method: str, evidence: str, step: int | None) -> Finding:
    return Finding(
        "problem",
        "The learning rate is too high: the loss went off",
        f"{evidence}. The highest rate was {rate:g}",
        f"Lower train.learning_rate, {_lower(rate, method)}; give train.schedule a warmup, and keep "
        "train.gradient_clip",
        step,
    )


def _not_converging(rate: float, method: str, evidence: str) -> Finding:
    is_high = rate > HIGH.get(method, HIGH["full"])
    change = (
        f"lower train.learning_rate, {_lower(rate, method)}"
        if is_high
        else f"raise train.learning_rate, to {10 * rate:.2g}"
    )
    why = "a high rate: such runs fall back to one answer for everything" if is_high else "a moderate rate"
    return Finding(
        "problem",
        "No convergence: the training loss does not fall",
        f"{evidence}, at train.learning_rate {rate:g}, {why}",
        f"First {change}. Then check that labels belong to their inputs (the columns that task names)",
    )
