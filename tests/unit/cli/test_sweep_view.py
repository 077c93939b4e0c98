"""How a sweep looks while it goes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from eagleray.cli.sweep_view import SweepView
from eagleray.store import sweeps
from eagleray.store.events import Event
from eagleray.store.sweeps import Sweep
from tests.support.sweep_events import begun, created, ended, reported, started

TOLD = [
    started(),
    created(0, {"train.learning_rate": 1e-4}),
    created(1, {"train.learning_rate": 1e-3}),
    begun(0),
    begun(1),
    reported(0, 10, f1_macro=0.9, clock_s=7.0),
    reported(0, 20, f1_macro=0.8, clock_s=9.0),
    ended(0, 20, state="pruned", seconds=20.0, clock_s=9.0),
    ended(1, 0, state="unfit", error="out of memory\nof 2 GiB", clock_s=12.0),
]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _view(
    *, is_terminal: bool = False, clock: Clock | None = None, height: int = 24
) -> tuple[SweepView, Callable[[], str]]:
    stream = io.StringIO()
    more: dict[str, Any] = {"height": height} if is_terminal else {}
    console = Console(
        file=stream,
        width=90,
        force_terminal=is_terminal,
        color_system=None,
        legacy_windows=False,
        _environ={},
        **more,
    )
    return SweepView(console, clock=clock or Clock()), stream.getvalue


def _until(count: int) -> Sweep:
    return sweeps.read(TOLD[:count])


def test_a_line_where_a_trial_begins_or_ends_and_one_about_all() -> None:
    view, shown = _view()
    with view:
        view.sweep(_until(2), frozenset({0}))
        view.sweep(_until(3), frozenset({0, 1}))
        view.sweep(_until(7), frozenset({0, 1}))
        view.sweep(_until(9), frozenset())

    assert shown().splitlines() == [
        "trial 0: learning_rate=0.0001",
        "0 trials ended, 1 going on, 0 steps, 0 s",
        "trial 1: learning_rate=0.001",
        "trial 0 pruned at step 20: f1_macro 0.9000 at step 10",
        "trial 1 unfit at step 0 (out of memory)",
    ]


def test_the_line_about_all_comes_every_ten_seconds() -> None:
    clock = Clock()
    view, shown = _view(clock=clock)
    with view:
        for now_s in (0, 4, 9.9, 10, 15, 20):
            clock.now_s = now_s
            view.sweep(_until(6), frozenset({0, 1}))

    assert [line for line in shown().splitlines() if "ended" in line] == [
        "0 trials ended, 2 going on, 10 steps, 7 s"
    ] * 3


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(ended(0, 20), "trial 0 finished at step 20: f1_macro 0.9000 at step 10", id="finished"),
        pytest.param(
            ended(0, 20, state="failed", error="killed"),
            "trial 0 failed at step 20: f1_macro 0.9000 at step 10 (killed)",
            id="failed",
        ),
        pytest.param(
            ended(0, 20, state="pruned", error="budget.steps (20) is used up"),
            "trial 0 pruned at step 20: f1_macro 0.9000 at step 10 (budget.steps (20) is used up)",
            id="stopped-by-the-budget",
        ),
    ],
)
def test_how_a_trial_ended(event: Event, line: str) -> None:
    view, shown = _view()
    with view:
        view.sweep(sweeps.read([*TOLD[:7], event]), frozenset())

    assert line in shown().splitlines()


def test_a_sweep_before_its_first_event() -> None:
    view, shown = _view()
    with view:
        view.sweep(Sweep(), frozenset())

    assert shown() == "0 trials ended, 0 going on, 0 steps, 0 s\n"


def test_plain_lines_for_what_comes_before() -> None:
    view, shown = _view()
    with view:
        view.say("loading [torch]")
        view.preparing("tokenising train rows:", 1_000)
        view.warn("slow")

    assert shown().splitlines() == ["loading [torch]", "tokenising train rows: 1,000", "warning: slow"]


def test_a_terminal_has_a_live_table_that_goes_in_the_end() -> None:
    view, shown = _view(is_terminal=True)
    with view:
        view.say("starting [Ray]")
        view.sweep(_until(6), frozenset({0, 1}))
    live = shown()  # drawn a last time before it goes

    for part in ("trial", "parameters", "f1_macro", "learning_rate=0.001", "10/90", "running, best", "1 CPU"):
        assert part in live
    assert "0 trials ended, 2 going on, 10 steps, 7 s" in live
    assert shown().endswith("\x1b[2K")


def test_the_table_has_no_more_rows_than_the_terminal() -> None:
    many = sweeps.read([started(), *(created(number) for number in range(50))])
    view, shown = _view(is_terminal=True, height=10)
    with view:
        view.sweep(many, frozenset())

    assert "    3  learning_rate" in shown()
    assert "    4  learning_rate" not in shown()
    assert "0 trials ended, 0 going on" in shown()


def test_what_stays_on_a_terminal() -> None:
    view, shown = _view(is_terminal=True)
    with view:
        view.sweep(_until(6), frozenset({0}))
        view.warn("[bold]slow[/bold]")

    assert "warning: [bold]slow[/bold]\n" in shown()


def test_closed_before_its_end_it_writes_lines() -> None:
    view, shown = _view(is_terminal=True)
    with view:
        view.close()
        before = shown()
        view.say("training the best configuration")

    assert shown().removeprefix(before) == "training the best configuration\n"


def test_the_table_goes_when_the_sweep_fails() -> None:
    view, shown = _view(is_terminal=True)
    with pytest.raises(KeyboardInterrupt), view:
        view.sweep(_until(6), frozenset({0}))
        raise KeyboardInterrupt
    assert shown().endswith("\x1b[2K")
