"""What is a run to Prometheus, by what its driver is told of it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from eagleray.monitoring.families import TRAIN, Sample
from eagleray.store import best
from eagleray.store.events import Event
from eagleray.store.runs import ProgressRecord, RunRecord

PHASES: Final = (
    *("starting", "preparing", "training", "evaluating", "saving", "done"),  # `starting`: there are no workers
    *("succeeded", "failed", "stopped"),
)
REASONS: Final = (
    *("infrastructure", "preemption", "out_of_memory", "hang", "numerical", "data", "fault"),
    *("interrupt", "resize"),
)
"""Why workers start again. All are told from the start: what first appears as 1 does not grow for Prometheus."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run, as far as its driver knows it. Times are seconds since 1970 by the driver's clock."""

    name: str
    run: str
    began_at: float  # when this process began to drive it
    metric: str  # that ranks its checkpoints
    mode: Literal["max", "min"]
    phase: str = "starting"
    progressed_at: float = 0.0
    ended_at: float | None = None
    progress: ProgressRecord | None = None
    first_step: int = 0  # of the attempt that is going on
    kept_s: float = 0.0  # in steps of earlier attempts that were not repeated
    validation: Mapping[str, float] = field(default_factory=dict)
    best_value: float | None = None
    restarts: Mapping[str, int] = field(default_factory=dict)
    num_checkpoints: int = 0
    checkpoint_bytes: int = 0
    stall_s: float = 0.0

    @property
    def useful_s(self) -> float:
        """Time in steps that count."""
        return self.kept_s + (self.progress.useful_s if self.progress else 0.0)


def begun(record: RunRecord, *, metric: str, mode: Literal["max", "min"], now: float) -> RunFacts:
    """Return what is known of a run when its driver takes it up."""
    return RunFacts(record.name, record.run, began_at=now, metric=metric, mode=mode, progressed_at=now)


def with_progress(facts: RunFacts, progress: ProgressRecord, *, now: float) -> RunFacts:
    """Return the facts after the workers have come so far."""
    return replace(facts, progress=progress, phase=progress.phase, progressed_at=now)


def with_earlier(facts: RunFacts, event: Event) -> RunFacts:
    """Return the facts with what an earlier driver of the run wrote down: what it counted counts on."""
    match event.kind:
        case "evaluated":
            return _with_evaluation(facts, event.fields["metrics"])
        case "checkpoint":
            return _with_checkpoint(facts, event.fields)
        case "restarted":
            return _with_restart(facts, str(event.fields["reason"]))
    return facts


def with_event(facts: RunFacts, event: Event, *, now: float) -> RunFacts:
    """Return the facts after an event of this driver's attempts."""
    facts = with_earlier(facts, event)
    match event.kind:
        case "restored":
            return replace(facts, first_step=event.fields["step"])
        case "restarted":
            kept_s = facts.kept_s + _kept_s(facts, saved_step=event.fields["saved_step"])
            return replace(facts, kept_s=kept_s, progress=None, first_step=0, phase="starting", progressed_at=now)
    return facts


def ended(facts: RunFacts, phase: str, *, now: float) -> RunFacts:
    """Return the facts of a run that has ended so."""
    return replace(facts, phase=phase, ended_at=now)


def goodput(facts: RunFacts, *, now: float) -> float:
    """Return the share of the time so far that went into steps that count."""
    wall_s = (facts.ended_at or now) - facts.began_at
    return min(facts.useful_s / wall_s, 1.0) if wall_s > 0 else 0.0


def samples(facts: RunFacts, *, now: float) -> Iterator[Sample]:
    """Every value that there is to tell. What is not known is not told: no series stays that nobody keeps up."""
    for phase in PHASES:
        yield _sample(facts, "phase", float(phase == facts.phase), phase)
    for reason in (*REASONS, *(each for each in facts.restarts if each not in REASONS)):
        yield _sample(facts, "restarts_total", facts.restarts.get(reason, 0), reason)
    yield _sample(facts, "checkpoints_total", facts.num_checkpoints)
    yield _sample(facts, "checkpoint_bytes_total", facts.checkpoint_bytes)
    yield _sample(facts, "stall_seconds_total", facts.stall_s)
    yield _sample(facts, "useful_seconds_total", facts.useful_s)
    yield _sample(facts, "goodput_ratio", goodput(facts, now=now))
    yield _sample(facts, "started_timestamp_seconds", facts.began_at)
    yield _sample(facts, "progress_timestamp_seconds", facts.progressed_at)
    for metric, value in facts.validation.items():
        yield _sample(facts, "validation", value, metric)
    if facts.best_value is not None:
        yield _sample(facts, "best_validation", facts.best_value, facts.metric, facts.mode)
    yield from _progress_samples(facts)


def _progress_samples(facts: RunFacts) -> Iterator[Sample]:
    progress = facts.progress
    if progress is None:
        return
    told = {
        "step": progress.step,
        "planned_steps": progress.total_steps,
        "epoch": progress.epoch,
        "loss": progress.loss,
        "learning_rate": progress.learning_rate,
        "samples_per_second": progress.samples_per_s,
        "tokens_per_second": progress.tokens_per_s,
        "padding_ratio": progress.padding_share,
    }
    for name, value in told.items():
        if value is not None:
            yield _sample(facts, name, value)


def _sample(facts: RunFacts, name: str, value: float, *labels: str) -> Sample:
    return Sample(TRAIN[name], (facts.name, facts.run, *labels), value)


def _with_evaluation(facts: RunFacts, metrics: Mapping[str, Any]) -> RunFacts:
    found = {name: value for name in metrics if (value := best.value_of(metrics, name)) is not None}
    value = found.get(facts.metric)
    better = max if facts.mode == "max" else min
    known = [each for each in (facts.best_value, value) if each is not None]
    return replace(facts, validation=found, best_value=better(known, default=None))


def _with_checkpoint(facts: RunFacts, told: Mapping[str, Any]) -> RunFacts:
    return replace(
        facts,
        num_checkpoints=facts.num_checkpoints + 1,
        checkpoint_bytes=facts.checkpoint_bytes + told["size_bytes"],
        stall_s=facts.stall_s + told["blocked_s"] + told["stall_s"],  # copying it, and waiting for the one before
    )


def _with_restart(facts: RunFacts, reason: str) -> RunFacts:
    counted = {**facts.restarts, reason: facts.restarts.get(reason, 0) + 1}
    return replace(facts, restarts=counted)


def _kept_s(facts: RunFacts, *, saved_step: int) -> float:
    """The time of the attempt that has ended, without the share of its steps that are to be done again."""
    progress = facts.progress
    if progress is None or progress.step <= facts.first_step:
        return 0.0
    share = (saved_step - facts.first_step) / (progress.step - facts.first_step)
    return progress.useful_s * min(max(share, 0.0), 1.0)
