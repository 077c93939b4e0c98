"""What is a sweep to Prometheus, by what its driver is told of it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from eagleray.monitoring.families import SWEEP, Sample
from eagleray.store import ranking, sweeps
from eagleray.store.runs import RunRecord
from eagleray.store.sweeps import Sweep

PHASES: Final = ("searching", "succeeded", "failed", "stopped")
STATES: Final = ("running", "waiting", *sweeps.ENDED)
"""`running` trials have workers; `waiting` ones have begun and have none now."""


_NOTHING: Final = Sweep()


@dataclass(frozen=True, slots=True)
class SweepFacts:
    """A sweep, as far as its driver knows it. Times are seconds since 1970 by the driver's clock."""

    name: str
    run: str
    began_at: float  # when this process began to drive it
    progressed_at: float
    planned_trials: int | None
    phase: str = "searching"
    sweep: Sweep = _NOTHING
    going: frozenset[int] = frozenset()


def begun(record: RunRecord, *, planned_trials: int | None, now: float) -> SweepFacts:
    """Return what is known of a sweep when its driver takes it up."""
    return SweepFacts(record.name, record.run, began_at=now, progressed_at=now, planned_trials=planned_trials)


def with_sweep(facts: SweepFacts, sweep: Sweep, going: frozenset[int], *, now: float) -> SweepFacts:
    """Return the facts after the sweep has come so far."""
    # Each event makes another Sweep: to compare what is in two of them would take long for many trials.
    is_new = sweep is not facts.sweep
    return replace(facts, sweep=sweep, going=going, progressed_at=now if is_new else facts.progressed_at)


def ended(facts: SweepFacts, phase: str) -> SweepFacts:
    """Return the facts of a sweep that has ended so."""
    return replace(facts, phase=phase, going=frozenset())


def samples(facts: SweepFacts) -> Iterator[Sample]:
    """Every value that there is to tell."""
    sweep = facts.sweep
    for phase in PHASES:
        yield _sample(facts, "phase", float(phase == facts.phase), phase)
    counted = Counter(_state(trial, facts.going) for trial in sweep.trials)
    for state in STATES:
        yield _sample(facts, "trials", counted[state], state)
    if facts.planned_trials is not None:
        yield _sample(facts, "planned_trials", facts.planned_trials)
    yield _sample(facts, "steps_total", sweep.num_steps)
    yield _sample(facts, "device_seconds_total", sweep.device_hours * 3600)
    yield _sample(facts, "started_timestamp_seconds", facts.began_at)
    yield _sample(facts, "progress_timestamp_seconds", facts.progressed_at)
    yield from _best(facts)


def _best(facts: SweepFacts) -> Iterator[Sample]:
    sweep = facts.sweep
    if not sweep.objectives:  # it has not begun
        return
    ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)
    for trial in ordered[:1]:
        values = ranking.values(trial, sweep.objectives) or ()
        for objective, value in zip(sweep.objectives, values, strict=True):
            yield _sample(facts, "best_objective", value, objective.metric, objective.mode)


def _state(trial: sweeps.Trial, going: frozenset[int]) -> str:
    if trial.state != "running":
        return trial.state
    return "running" if trial.number in going else "waiting"


def _sample(facts: SweepFacts, name: str, value: float, *labels: str) -> Sample:
    return Sample(SWEEP[name], (facts.name, facts.run, *labels), value)
