"""How long does a run take, and what does it cost? Reckoned from steps that were measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eagleray.errors import DocumentError, UserError
from eagleray.flow.estimate import Estimate
from eagleray.flow.measured import Measured
from eagleray.spec import yaml_text
from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.search import AshaSpec, GridSearchSpec
from eagleray.spec.sweep import SweepSpec
from eagleray.tune import grid, rungs

FORWARD_SHARE = 1 / 3
"""Of a step: the backward pass takes twice what the forward pass takes (Kaplan et al. 2020, arXiv:2001.08361, 2.1)."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds of a run."""

    startup_s: float
    training_s: float
    evaluation_s: float
    total_s: float
    device_hours: float  # GPU-hours; CPU-hours where workers have no GPU


@dataclass(frozen=True, slots=True)
class SweepSize:
    """What a search takes, in optimizer steps of all trials."""

    trials: int
    steps_each: int  # of a trial that nothing stops
    steps: int  # without pruning
    expected_steps: int  # with it, on average
    final_steps: int  # of the last run, with the best configuration; 0 where there is none


def duration(spec: FineTuneSpec, estimate: Estimate, measured: Measured) -> Duration:
    """Return how long the run takes if its steps take what those took that were measured."""
    length = estimate.length
    split_rows = length.test_rows or length.validation_rows
    rows = length.num_evaluations * length.validation_rows + length.test_rows
    rows += split_rows if spec.train.baselines else 0
    row_s = FORWARD_SHARE * measured.step_s / spec.train.global_batch_size
    training_s, evaluation_s = length.total_steps * measured.step_s, rows * row_s
    total_s = measured.startup_s + training_s + evaluation_s
    return Duration(measured.startup_s, training_s, evaluation_s, total_s, _device_hours(estimate, total_s))


def step_hours(estimate: Estimate, measured: Measured, steps: int) -> float:
    """Return the device-hours of so many steps, without starts and evaluations."""
    return _device_hours(estimate, steps * measured.step_s)


def sweep_size(sweep: SweepSpec, total_steps: int, *, steps_per_epoch: int) -> SweepSize | None:
    """Return the size of a search; None where it is not bounded by a number of trials.

    Raises:
        UserError: the scheduler's steps do not suit the trials'.
    """
    bounds = [sweep.budget.trials] if sweep.budget.trials is not None else []
    if isinstance(sweep.search, GridSearchSpec):
        bounds.append(grid.size(sweep.space))
    if not bounds:
        return None
    trials, scheduler = min(bounds), sweep.scheduler
    last = min(total_steps, getattr(scheduler, "max_steps", None) or total_steps)
    expected = float(trials * last)
    if isinstance(scheduler, AshaSpec):
        found = rungs.rungs(
            grace_steps=rungs.grace_steps(scheduler, total_steps),
            max_steps=last,
            reduction_factor=scheduler.reduction_factor,
        )
        expected = rungs.expected_steps(
            trials, rungs=found, last_step=last, reduction_factor=scheduler.reduction_factor
        )
    if sweep.budget.steps is not None:
        expected = min(expected, sweep.budget.steps)
    final = 0 if sweep.final is None else (sweep.final.epochs or 0) * steps_per_epoch or total_steps
    return SweepSize(trials, last, trials * last, round(expected), final)


def price_an_hour(prices: Path, accelerator: str) -> float:
    """Return what a device costs an hour: a YAML file of names and numbers, as `H100: 2.9`.

    Raises:
        UserError: the file is no such table, or does not have it.
    """
    try:
        parsed = yaml_text.parse(prices.read_text(encoding="utf-8"), source=f"--prices {prices}")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prices {prices}: cannot be read: {error}") from error
    if parsed.findings:
        raise DocumentError(parsed.findings)
    table = parsed.value
    if not isinstance(table, dict) or not table:
        raise UserError(f"--prices {prices}: a line a device is wanted, with what it costs an hour, as `H100: 2.9`")
    bad = [f"{name}: {price}" for name, price in table.items() if not _is_price(price)]
    if bad:
        raise UserError(f"--prices {prices}: {bad[0]}: a price is a number that is not negative, as `H100: 2.9`")
    known = {str(name).lower(): float(price) for name, price in table.items()}
    if accelerator.lower() not in known:
        raise UserError(
            f"--prices {prices}: it has no {accelerator}, only {', '.join(map(str, table))}: add it, or name one of "
            "these by --accelerator"
        )
    return known[accelerator.lower()]


def _is_price(price: object) -> bool:
    return isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price < float("inf")


def _device_hours(estimate: Estimate, seconds: float) -> float:
    return estimate.num_workers * (estimate.shape.num_gpus or estimate.shape.num_cpus) * seconds / 3600
