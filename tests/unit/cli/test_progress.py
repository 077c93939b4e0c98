"""How a run looks while it goes."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from eagleray.cli.progress import RunView
from eagleray.store.events import Event
from eagleray.store.runs import ProgressRecord, RunRecord

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _view(*, is_terminal: bool = False, clock: Clock | None = None) -> tuple[RunView, Callable[[], str]]:
    stream = io.StringIO()
    console = Console(
        file=stream, width=60, force_terminal=is_terminal, color_system=None, legacy_windows=False, _environ={}
    )
    return RunView(console, clock=clock or Clock()), stream.getvalue


def _progress(phase: str, step: int, **figures: float) -> ProgressRecord:
    return ProgressRecord.model_validate(
        {"step": step, "total_steps": 700, "phase": phase, "updated_at": NOW, **figures}
    )


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (_progress("preparing", 0), "preparing: step 0/700"),
        (
            _progress("training", 3, loss=0.51234, samples_per_s=99.6),
            "training: step 3/700 loss 0.5123 100 samples/s",
        ),
        (_progress("evaluating", 700, loss=0.5), "evaluating: step 700/700 loss 0.5000"),
        (_progress("training", 3).model_copy(update={"total_steps": None}), "training: step 3/?"),
    ],
    ids=["before the first step", "training", "evaluating", "no end known"],
)
def test_a_plain_line(progress: ProgressRecord, line: str) -> None:
    view, shown = _view()
    with view:
        view.progress(progress)
    assert shown() == f"{line}\n"


def test_a_plain_line_every_ten_seconds_and_at_each_change() -> None:
    clock = Clock()
    view, shown = _view(clock=clock)
    seen = [(0, "training"), (4, "training"), (5, "saving"), (6, "training"), (15.9, "training"), (16, "training")]
    with view:
        for step, (now_s, phase) in enumerate(seen):
            clock.now_s = now_s
            view.progress(_progress(phase, step))
    assert shown().splitlines() == [
        "training: step 0/700",
        "saving: step 2/700",
        "training: step 3/700",
        "training: step 5/700",
    ]


def test_plain_preparation_is_not_a_line_a_chunk() -> None:
    view, shown = _view()
    with view:
        for count in (1_000, 2_000):
            view.preparing("reading train rows:", count)
        view.preparing("tokenising train rows:", 1_000)
    assert shown().splitlines() == ["reading train rows: 1,000", "tokenising train rows: 1,000"]


@pytest.mark.parametrize("is_terminal", [False, True], ids=["plain", "terminal"])
def test_what_stays(is_terminal: bool) -> None:
    view, shown = _view(is_terminal=is_terminal)
    with view:
        view.warn(f"storage /a/[bold]b[/bold]/{'c' * 60} goes")
        view.created(RunRecord(run="films-0001", name="films", phase="pending", started_at=NOW))
        view.progress(_progress("done", 700))
    assert f"warning: storage /a/[bold]b[/bold]/{'c' * 60} goes\n" in shown()
    assert "run films-0001\n" in shown()


def test_a_terminal_has_one_live_line_that_goes_in_the_end() -> None:
    view, shown = _view(is_terminal=True)
    with view:
        view.say("starting [Ray]")
        view.preparing("tokenising train rows:", 1_000)
        view.progress(_progress("training", 350, loss=0.5, samples_per_s=100.0))
        assert "\n" not in shown().replace("\r", "")
    assert "350/700 loss 0.5000 100 samples/s" in shown()
    assert shown().endswith("\x1b[2K")


def test_the_live_line_goes_when_the_run_fails() -> None:
    view, shown = _view(is_terminal=True)
    with pytest.raises(KeyboardInterrupt), view:
        raise KeyboardInterrupt
    assert shown().endswith("\x1b[2K")


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"reason": "infrastructure", "step": 45, "saved_step": 30, "what": "worker 1: it died\nmore"},
            "restart, infrastructure (worker 1: it died): 15 steps to repeat",
        ),
        ({"reason": "preemption", "step": 45, "saved_step": 45}, "restart, preemption: no step lost"),
        (
            {"reason": "out_of_memory", "step": 1, "saved_step": 0, "micro_batch_limit": 64},
            "restart, out of memory: 1 step to repeat; micro batches of 64 at most",
        ),
        (
            {"reason": "hang", "step": 2, "saved_step": 0, "first_behind": 1, "without_answer": [1]},
            "restart, hang: 2 steps to repeat; worker 1 fell behind first; worker 1 cannot answer",
        ),
    ],
    ids=["a worker died", "nothing lost", "smaller", "hung"],
)
def test_a_restart(fields: dict[str, Any], line: str) -> None:
    view, shown = _view()
    with view:
        view.event(Event(kind="restarted", at=NOW, fields=fields))
    assert shown() == f"{line}\n"
