"""What happened in a sweep, as its events tell it: every trial, how far it came and what came of it.

A sweep is a run of kind Sweep, and its log is the run's events. Each life of a trial is a run of its own on a storage
below the sweep's: what `eagleray runs` and `eagleray checkpoints` do with any run they do with these, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import paths
from eagleray.store.events import Event
from eagleray.store.objects import Objects, open_storage

KIND = "Sweep"

State = Literal["running", "finished", "pruned", "unfit", "failed"]
"""`pruned`: stopped early by the scheduler. `unfit`: the configuration cannot work, for the memory, for a loss that is
not finite, or because the document refuses it. `failed`: for any other reason, and tried often enough."""

ENDED: tuple[State, ...] = ("finished", "pruned", "unfit", "failed")


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation of a trial."""

    step: int
    metrics: Mapping[str, float]  # of the validation split
    seconds: float  # since the trial's life began


@dataclass(frozen=True, slots=True)
class Life:
    """A stretch of a trial between two starts of its worker."""

    run: str  # on the storage of the trials
    first_step: int
    step: int = 0  # the last one that is known of
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """Where population based training gave a trial another one's checkpoint, and other values."""

    step: int
    params: Mapping[str, Any]
    donor: int  # the trial whose checkpoint it was


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration and what came of it."""

    number: int
    params: Mapping[str, Any]
    state: State = "running"
    reports: tuple[Report, ...] = ()
    lives: tuple[Life, ...] = ()
    changes: tuple[Change, ...] = ()
    error: str = ""
    source: str = "search"
    """Who proposed it: the search, `start_from`, or the id of the sweep that it is a best one of."""

    @property
    def step(self) -> int:
        """The last step that it reached."""
        return self.lives[-1].step if self.lives else 0

    @property
    def num_steps(self) -> int:
        """Optimizer steps that were done for it, those that had to be repeated among them."""
        return sum(max(0, life.step - life.first_step) for life in self.lives)

    @property
    def seconds(self) -> float:
        """For how long it had its workers."""
        return sum(life.seconds for life in self.lives)

    @property
    def run(self) -> str:
        """The run of its last life; empty where it had none."""
        return self.lives[-1].run if self.lives else ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials by number, and how the sweep was set up."""

    trials: tuple[Trial, ...] = ()
    total_steps: int = 0  # of a trial that comes to its end
    num_devices: float = 1.0  # CPUs or GPUs of a trial
    device: str = "CPU"
    seconds: float = 0.0  # by the clock, over all starts
    end_reason: str = ""  # why the search ended; empty where it has not
    objectives: tuple[ObjectiveSpec, ...] = ()
    constraints: tuple[ConstraintSpec, ...] = ()

    @property
    def num_steps(self) -> int:
        """Optimizer steps of all trials."""
        return sum(trial.num_steps for trial in self.trials)

    @property
    def device_hours(self) -> float:
        """What all trials have taken of the cluster."""
        return sum(trial.seconds for trial in self.trials) * self.num_devices / 3600


class Log:
    """Sums up the events of a sweep, one after another."""

    def __init__(self) -> None:
        self.sweep = Sweep()
        self.end_order: list[int] = []
        """The trials that have ended, in the order of their ends."""
        self.clock_s = 0.0
        """When the last event was, by the clock of the driver that wrote it."""
        self.going: set[int] = set()
        """The trials that have workers; of a sweep whose driver was killed those that it had then."""
        self._trials: dict[int, Trial] = {}
        self._before_s = 0.0  # of the drivers before that one

    def read(self, events: Iterable[Event]) -> Sweep:
        """Add events and return what the sweep is by them."""
        for event in events:
            self._add(event)
        trials = tuple(self._trials[number] for number in sorted(self._trials))
        self.sweep = replace(self.sweep, trials=trials, seconds=self._before_s + self.clock_s)
        return self.sweep

    def trial(self, number: int) -> Trial:
        """One trial."""
        return self._trials[number]

    def _add(self, event: Event) -> None:
        facts = event.fields
        if event.kind == "sweep-started":
            self._before_s += self.clock_s
        self.clock_s = facts.get("clock_s", self.clock_s)
        self._note_going(event)
        match event.kind:
            case "sweep-started":
                setup = {name: facts[name] for name in ("total_steps", "num_devices", "device")}
                objectives = tuple(ObjectiveSpec.model_validate(each) for each in facts["objectives"])
                constraints = tuple(ConstraintSpec.model_validate(each) for each in facts["constraints"])
                self.sweep = replace(self.sweep, **setup, objectives=objectives, constraints=constraints, end_reason="")
            case "sweep-ended":
                self.sweep = replace(self.sweep, end_reason=facts["reason"])
            case "trial-created":
                number = facts["trial"]
                self._trials[number] = Trial(number, params=facts["params"], source=facts["source"])
            case _ if event.kind.startswith("trial-"):
                number = facts["trial"]
                self._trials[number] = _changed(self._trials[number], event)
                # A copy of an event tells nothing new: `events.Writer` may leave one.
                if event.kind == "trial-ended" and number not in self.end_order:
                    self.end_order.append(number)

    def _note_going(self, event: Event) -> None:
        match event.kind:
            case "sweep-started" | "sweep-ended":
                self.going.clear()
            case "trial-started":
                self.going.add(event.fields["trial"])
            case "trial-stopped" | "trial-ended":
                self.going.discard(event.fields["trial"])


def read(events: Iterable[Event]) -> Sweep:
    """Return what a sweep is by all its events."""
    return Log().read(events)


def trials_uri(storage: str, run: str) -> str:
    """The storage of a sweep's trials."""
    return f"{storage.rstrip('/')}/{paths.trials(run)}"


def open_trials(storage: str, run: str) -> Objects:
    """Open the storage of a sweep's trials."""
    return open_storage(trials_uri(storage, run))


def trial_name(number: int) -> str:
    """What the runs of a trial are called: `trial-3-0001` is the first life of the third trial."""
    return f"trial-{number}"


def _changed(trial: Trial, event: Event) -> Trial:
    facts = event.fields
    match event.kind:
        case "trial-started":
            life = Life(facts["run"], first_step=facts["first_step"], step=facts["first_step"])
            before = trial.lives[:-1] if trial.lives[-1:] == (life,) else trial.lives
            return replace(trial, state="running", error="", lives=(*before, life))
        case "trial-reported":
            report = Report(facts["step"], facts["metrics"], facts["seconds"])
            # What a restart repeats is told again, and is what it was.
            known = tuple(each for each in trial.reports if each.step < report.step)
            return replace(_grown(trial, facts), reports=(*known, report))
        case "trial-changed":
            change = Change(facts["step"], params=facts["params"], donor=facts["donor"])
            earlier = trial.changes[:-1] if trial.changes[-1:] == (change,) else trial.changes
            return replace(trial, params=facts["params"], changes=(*earlier, change))
        case "trial-stopped":
            return _grown(trial, facts)
        case "trial-ended":
            return replace(_grown(trial, facts), state=facts["state"], error=facts["error"])
    return trial


def _grown(trial: Trial, facts: Mapping[str, Any]) -> Trial:
    """The last life with the step that it reached and its length."""
    if not trial.lives:
        return trial
    life = replace(trial.lives[-1], step=facts["step"], seconds=facts["seconds"])
    return replace(trial, lives=(*trial.lives[:-1], life))
