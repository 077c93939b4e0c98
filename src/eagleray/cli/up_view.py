"""How a document's life looks: a line a step, and within a step what `train` and `sweep` show."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from eagleray.cli.progress import RunView
from eagleray.cli.sweep_view import SweepView
from eagleray.flow.steps import State

if TYPE_CHECKING:
    from eagleray.store.keys import NewKey

_WIDTH = 9  # of the longest step's name


def show_key(made: NewKey) -> None:
    """Show a key on stdout: it is a result, and whoever throws progress away must not lose it."""
    typer.echo(made.text)


class UpView:
    """Tells a person how a life goes; an Observer of `flow.up.Life`."""

    def __init__(self, console: Console, *, shows_data: bool = True) -> None:
        """The data report is shown once, by the first step that has it; `shows_data` is False where it was shown."""
        self._console, self._shows_data = console, shows_data
        self._began = 0.0

    def say(self, message: str) -> None:
        """Show what is being done."""
        self._print(f"{'':{_WIDTH}}  {message}")

    def warn(self, message: str) -> None:
        """Show a line that stays."""
        self._print(f"warning: {message}")

    def step(self, step: str, state: State, detail: str) -> None:
        """Show how far a step is."""
        match state:
            case "begun":
                self._began = time.monotonic()
                self._print(f"{step:{_WIDTH}}  …")
                return
            case "done":
                told = f"done in {time.monotonic() - self._began:.0f} s"
            case "there":
                told = "already there"
            case "to do":
                told = "to do"
        self._print(f"{step:{_WIDTH}}  {told}{f': {detail}' if detail else ''}")

    def sweeping(self) -> AbstractContextManager[SweepView]:
        """A view of the sweep."""
        return SweepView(self._console, shows_data=self._is_first())

    def training(self) -> AbstractContextManager[RunView]:
        """A view of the run."""
        return RunView(self._console, shows_data=self._is_first())

    def key(self, made: NewKey) -> None:
        """Show the first key, this once."""
        show_key(made)
        self.say(f"above: the first key ({made.record.name}); it is shown this once, only its hash is kept")

    def _is_first(self) -> bool:
        shows_data, self._shows_data = self._shows_data, False
        return shows_data

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
