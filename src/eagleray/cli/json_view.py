"""How a run, a sweep or a document's life looks to a program that reads its log: a JSON object a line."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from eagleray.cli import event_text
from eagleray.cli.up_view import show_key
from eagleray.store import ranking, sweeps

if TYPE_CHECKING:
    from eagleray.data.checks import DataReport
    from eagleray.flow.steps import State
    from eagleray.logs import Level, Lines
    from eagleray.store.events import Event
    from eagleray.store.keys import NewKey
    from eagleray.store.runs import ProgressRecord, RunRecord
    from eagleray.store.sweeps import Sweep, Trial

INTERVAL_S = 10.0
"""How often an unchanged phase gets a line."""
_WARNING = "warning: "


class JsonView:
    """Tells a log how things go; an Observer of runs, of sweeps and of `flow.up.Life`."""

    def __init__(self, lines: Lines, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines, self._is_quiet, self._clock = lines, quiet, clock
        self._last: dict[str, float] = {}
        self._phase = ""
        self._trials: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def close(self) -> None:
        """There is nothing on a screen."""

    def say(self, message: str) -> None:
        """Tell what is being done."""
        self._tell("info", message)

    def warn(self, message: str) -> None:
        """Tell what the user should know."""
        self._tell("warning", message)

    def preparing(self, stage: str, count: int) -> None:
        """Tell how far the data is."""
        if self._is_due(stage):
            self._tell("info", f"{stage} {count}", stage=stage, count=count)

    def data(self, report: DataReport) -> None:
        """Tell of the data."""
        self._tell("info", "the data is prepared", data=report.model_dump(mode="json"))

    def created(self, record: RunRecord) -> None:
        """From here on each line says which run it is."""
        self._lines.at(run=record.run, step=None)
        self._tell("info", f"run {record.run}", kind=record.kind)

    def event(self, event: Event) -> None:
        """Tell what has happened, whatever it is."""
        sentence = event_text.line(event)
        level: Level = "warning" if sentence.startswith(_WARNING) else "info"
        self._tell(
            level, sentence.removeprefix(_WARNING), event=event.kind, at=event.at.isoformat(), facts=event.fields
        )

    def progress(self, progress: ProgressRecord) -> None:
        """Tell how far the workers are: at each change of the phase, and every few seconds."""
        self._lines.at(step=progress.step)
        has_changed, self._phase = progress.phase != self._phase, progress.phase
        if self._is_due("progress") or has_changed:
            figures = progress.model_dump(mode="json", exclude={"step", "updated_at"}, exclude_none=True)
            self._tell("info", f"{progress.phase}: step {progress.step}/{progress.total_steps or '?'}", **figures)

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        """Tell where a trial has begun or ended, and now and then how far all are."""
        for trial in sweep.trials:
            if self._trials.get(trial.number) != trial.state:
                self._trials[trial.number] = trial.state
                self._trial(trial, sweep)
        if self._is_due("sweep"):
            ended = sum(trial.state in sweeps.ENDED for trial in sweep.trials)
            facts = {"num_ended": ended, "num_going": len(going), "num_steps": sweep.num_steps}
            self._tell("info", f"{ended} trials ended, {len(going)} going on", seconds=sweep.seconds, **facts)

    def step(self, step: str, state: State, detail: str) -> None:
        """Tell how far a step of a document's life is."""
        # Not as `step`, which is that of an optimizer.
        self._tell("info", f"{step}: {state}{f': {detail}' if detail else ''}", life_step=step, state=state)

    def sweeping(self) -> AbstractContextManager[Self]:
        """The view of the sweep."""
        return nullcontext(self)

    def training(self) -> AbstractContextManager[Self]:
        """The view of the run."""
        return nullcontext(self)

    def key(self, made: NewKey) -> None:
        """Show the first key, this once; the log has its name alone."""
        show_key(made)
        self._tell("info", f"the first key ({made.record.name}) is on stdout; only its hash is kept")

    def _trial(self, trial: Trial, sweep: Sweep) -> None:
        report = ranking.best_report(trial, sweep.objectives) if trial.state in sweeps.ENDED else None
        best = {"best": dict(report.metrics), "best_step": report.step} if report else {}
        error = {"error": trial.error} if trial.error else {}
        facts: dict[str, Any] = {"trial": trial.number, "state": trial.state, "params": dict(trial.params)}
        self._tell("info", f"trial {trial.number} {trial.state}", step=trial.step, **facts, **best, **error)

    def _tell(self, level: Level, message: str, **facts: Any) -> None:
        if not self._is_quiet:
            self._lines.note(level, message, **facts)

    def _is_due(self, what: str) -> bool:
        now = self._clock()
        if what in self._last and now - self._last[what] < INTERVAL_S:
            return False
        self._last[what] = now
        return True
