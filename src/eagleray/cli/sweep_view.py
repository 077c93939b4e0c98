"""How a sweep looks while it goes: a live table on a terminal, plain lines elsewhere. All of it on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from eagleray.cli.progress import RunView
from eagleray.cli.sweep_tables import params_text, trials_table
from eagleray.store import ranking, sweeps

if TYPE_CHECKING:
    from eagleray.store.sweeps import Sweep, Trial

_OTHER_LINES = 6  # of the terminal, beside the rows of the table


class SweepView(RunView):
    """Tells a person how a sweep is doing; a SweepObserver."""

    def __init__(
        self, console: Console, *, clock: Callable[[], float] = time.monotonic, shows_data: bool = True
    ) -> None:
        super().__init__(console, clock=clock, shows_data=shows_data)
        self._screen: Live | None = None
        self._status = ""
        self._known: dict[int, str] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._screen = Live(console=self._console, refresh_per_second=4, transient=True)
            self._screen.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the table off the screen."""
        if self._screen is not None:
            self._screen.stop()
            self._screen = None

    def say(self, message: str) -> None:
        """Show what is being done."""
        self._status = message
        if self._screen is None:
            self._print(message)
        else:
            self._screen.update(Text(message))

    def preparing(self, stage: str, count: int) -> None:
        """Show how far the data is."""
        if self._screen is None:
            super().preparing(stage, count)
        else:
            self._screen.update(Text(f"{stage} {count:,}"))

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        """Show how far the trials are."""
        ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)
        if self._screen is not None:
            room = max(3, self._console.size.height - _OTHER_LINES)
            table = trials_table(sweep, ordered, going=going, shown=room)
            self._screen.update(Group(table, Text(self._summary(sweep, going))))
            return
        for trial in sweep.trials:
            self._tell(trial, sweep)
        if self._is_due("sweep"):
            self._print(self._summary(sweep, going))

    def _tell(self, trial: Trial, sweep: Sweep) -> None:
        """A line where a trial has begun or ended."""
        if self._known.get(trial.number) == trial.state:
            return
        self._known[trial.number] = trial.state
        if trial.state not in sweeps.ENDED:
            self._print(f"trial {trial.number}: {params_text(trial.params)}")
            return
        report = ranking.best_report(trial, sweep.objectives)
        by = ranking.primary(sweep.objectives).metric
        value = f": {by} {report.metrics[by]:.4f} at step {report.step}" if report else ""
        why = f" ({trial.error.splitlines()[0]})" if trial.error else ""
        self._print(f"trial {trial.number} {trial.state} at step {trial.step}{value}{why}")

    def _summary(self, sweep: Sweep, going: frozenset[int]) -> str:
        ended = sum(trial.state in sweeps.ENDED for trial in sweep.trials)
        return f"{ended} trials ended, {len(going)} going on, {sweep.num_steps} steps, {sweep.seconds:.0f} s"
