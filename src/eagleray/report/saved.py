"""What pruning has saved."""

from __future__ import annotations

from dataclasses import dataclass

from eagleray.store.sweeps import Sweep, Trial


@dataclass(frozen=True, slots=True)
class Saved:
    """What the pruned trials would have cost, had they come to their end."""

    num_steps: int
    device_hours: float


def by_pruning(sweep: Sweep) -> Saved:
    """Add up the steps that pruned trials did not do, each at the trial's own seconds per step."""
    pruned = [trial for trial in sweep.trials if trial.state == "pruned"]
    seconds = sum(_steps_left(trial, sweep) * _seconds_per_step(trial) for trial in pruned)
    return Saved(
        num_steps=sum(_steps_left(trial, sweep) for trial in pruned),
        device_hours=seconds * sweep.num_devices / 3600,
    )


def _steps_left(trial: Trial, sweep: Sweep) -> int:
    return max(0, sweep.total_steps - trial.step)


def _seconds_per_step(trial: Trial) -> float:
    return trial.seconds / trial.num_steps if trial.num_steps else 0.0
