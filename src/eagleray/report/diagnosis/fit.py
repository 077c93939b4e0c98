"""Has a run learned its training rows too well, or not well enough? By its losses on them and on others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eagleray.report.diagnosis.finding import Finding, Point, finite, mean, parts

RISE = 1.1
"""A validation loss has risen where it ends above so many times its least value,"""
LEAST_RISE = 0.02
"""and by at least this: below that it is noise of a loss that is almost zero."""
GAP = 2.0
"""A gap is wide where the validation loss is so many times the training loss."""
LEAST_GAP = 0.1
STILL_FALLING = 0.9
"""A loss still falls where the last fifth of the steps is below so many times the fifth before it."""
OVER_MAJORITY = 0.02
"""What no learning scores is beaten by at least this, or nothing was learned."""


def overfitting(training: Sequence[Point], validation: Sequence[Point]) -> Iterator[Finding]:
    """Look for a validation loss that has turned while the training loss went on falling, or stays far above it."""
    training, validation = finite(training), finite(validation)
    if len(training) < 2 or len(validation) < 3:
        return
    least_step, least = min(validation, key=lambda point: (point[1], point[0]))
    last_step, last = validation[-1]
    before, after = _around(training, least_step), _around(training, last_step)
    if last > max(RISE * least, least + LEAST_RISE) and after < before:
        yield Finding(
            "warning",
            "Overfitting: it learns its training rows by heart",
            f"the validation loss was least at step {least_step:,} ({least:.4g}) and rose to {last:.4g} by step "
            f"{last_step:,}, while the training loss went on falling, from {before:.4g} to {after:.4g}",
            "Set train.early_stopping, or lower train.epochs; what delays it is more rows (data.train), "
            "train.weight_decay, and method.type lora",
            least_step,
        )
        return
    opened = _gap_opened(training, validation)
    if opened is not None:
        yield Finding(
            "note",
            "The training rows are known much better than the validation rows",
            f"at the end the validation loss is {last:.4g}, the training loss {after:.4g}; the gap opened at step "
            f"{opened:,}. The validation loss has not risen yet",
            "More epochs will not help: add rows (data.train), or raise train.weight_decay",
            opened,
        )


def underfitting(
    training: Sequence[Point], validation: Sequence[Point], metrics: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    """Look for a run that ended while it still learned, and for one that is no better than no learning at all."""
    yield from _not_above_majority(metrics)
    training, validation = finite(training), finite(validation)
    if len(training) < 10 or not validation:
        return
    *_, before, last = map(mean, parts(training, 5))
    best_step, best = min(validation, key=lambda point: (point[1], point[0]))
    if last < STILL_FALLING * before and best_step == validation[-1][0]:
        yield Finding(
            "note",
            "It ended while it still learned",
            f"in the last fifth of the steps the training loss fell from {before:.4g} to {last:.4g}, and the last "
            f"evaluation is the best one (loss {best:.4g})",
            "Raise train.epochs (or train.max_steps); if that takes too long, raise train.learning_rate",
            best_step,
        )


def _not_above_majority(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    measured = metrics.get("test") or metrics.get("validation") or {}
    learned, majority = measured.get("accuracy"), metrics.get("majority", {}).get("accuracy")
    if learned is None or majority is None or learned > majority + OVER_MAJORITY:
        return
    yield Finding(
        "problem",
        "Underfitting: it is no better than always naming the most frequent label",
        f"its accuracy is {learned:.4g}, that of the majority class {majority:.4g}",
        "Check that task names the right columns; then change train.learning_rate, raise "
        "train.epochs, or take a larger model.source",
    )


def _around(training: Sequence[Point], step: int) -> float:
    """The training loss about a step: of the few records up to it, else the first of all."""
    upto = [point for point in training if point[0] <= step][-max(1, len(training) // 20) :]
    return mean(upto or training[:1])


def _gap_opened(training: Sequence[Point], validation: Sequence[Point]) -> int | None:
    """The first evaluation from which on the gap stays wide to the end; None where it is not wide there."""
    opened = None
    for step, value in reversed(validation):
        known = _around(training, step)
        if value < max(GAP * known, known + LEAST_GAP):
            break
        opened = step
    return opened
