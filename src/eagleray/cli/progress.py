"""How a run looks while it goes: one live line on a terminal, plain lines elsewhere. All of it on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eagleray.report.happenings import sentence

if TYPE_CHECKING:
    from eagleray.data.checks import DataReport
    from eagleray.store.events import Event
    from eagleray.store.runs import ProgressRecord, RunRecord

PLAIN_INTERVAL_S = 10.0
"""How often a log file gets a line about an unchanged phase."""


class RunView:
    """Tells a person how a run is doing; an Observer of `train.run.fine_tune`."""

    def __init__(
        self, console: Console, *, clock: Callable[[], float] = time.monotonic, shows_data: bool = True
    ) -> None:
        self._console, self._shows_data = console, shows_data
        self._clock = clock
        self._live: Progress | None = None
        self._last: tuple[str, float] | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=self._console,
                transient=True,
            )
            self._task = self._live.add_task("starting", total=None, figures="", visible=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, message: str) -> None:
        """Show what is being done; on a terminal the live line says it too."""
        if self._live is not None:
            self._live.update(self._task, description=message)
            return
        self._print(message)

    def warn(self, message: str) -> None:
        """Show a line that stays."""
        self._print(f"warning: {message}")

    def preparing(self, stage: str, count: int) -> None:
        """Show how far the data is."""
        message = f"{stage} {count:,}"
        if self._live is not None:
            self._live.update(self._task, description=message)
        elif self._is_due(stage):
            self._print(message)

    def data(self, report: DataReport) -> None:
        """Show the data report, unless another view has."""
        if not self._shows_data:
            return
        from eagleray.data.report_text import render  # imports numpy

        self._print(render(report))

    def created(self, record: RunRecord) -> None:
        """Show the run's id."""
        self._print(f"run {record.run}")

    def event(self, event: Event) -> None:
        """Show what is out of the ordinary."""
        told = sentence(event)
        if told:
            self._print(told)

    def progress(self, progress: ProgressRecord) -> None:
        """Show how far the workers are."""
        if self._live is not None:
            self._live.update(
                self._task,
                description=progress.phase,
                completed=progress.step,
                total=progress.total_steps,
                figures=_figures(progress),
            )
            return
        if self._is_due(progress.phase):
            total = progress.total_steps or "?"
            self._print(f"{progress.phase}: step {progress.step}/{total} {_figures(progress)}".rstrip())

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _is_due(self, phase: str) -> bool:
        now = self._clock()
        if self._last is not None and self._last[0] == phase and now - self._last[1] < PLAIN_INTERVAL_S:
            return False
        self._last = (phase, now)
        return True


def _figures(progress: ProgressRecord) -> str:
    if progress.loss is None:
        return ""
    speed = f" {progress.samples_per_s:.0f} samples/s" if progress.samples_per_s else ""
    return f"loss {progress.loss:.4f}{speed}"
