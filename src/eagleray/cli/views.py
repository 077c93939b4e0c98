"""Who looks on while a command works: a view for people, or the log of a program where --log-format says so."""

from __future__ import annotations

from eagleray import logs
from eagleray.cli.json_view import JsonView
from eagleray.cli.progress import RunView
from eagleray.cli.screen import Screen
from eagleray.cli.sweep_view import SweepView
from eagleray.cli.up_view import UpView
from eagleray.cli.watch_view import WatchView


def of_run(*, quiet: bool = False) -> RunView | JsonView:
    """Of a run that this process drives."""
    return _json(quiet=quiet) or RunView(_console(quiet=quiet))


def of_sweep(*, quiet: bool = False) -> SweepView | JsonView:
    """Of a sweep."""
    return _json(quiet=quiet) or SweepView(_console(quiet=quiet))


def of_life(*, quiet: bool = False, shows_data: bool = True) -> UpView | JsonView:
    """Of all that `up` does. `shows_data`: whether the data report is still to be shown to people."""
    return _json(quiet=quiet) or UpView(_console(quiet=quiet), shows_data=shows_data)


def of_watched(*, quiet: bool = False) -> WatchView | JsonView:
    """Of a run that another process drives."""
    return _json(quiet=quiet) or WatchView(_console(quiet=quiet))


def _json(*, quiet: bool) -> JsonView | None:
    lines = logs.active()
    return JsonView(lines, quiet=quiet) if lines is not None else None


def _console(*, quiet: bool) -> Screen:
    return Screen(stderr=True, quiet=quiet)
