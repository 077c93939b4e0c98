"""Where the time of a run went: every second once, as worked out by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from eagleray.store import goodput, times
from eagleray.store.events import Event
from eagleray.store.objects import open_storage
from eagleray.store.runs import RunRecord
from eagleray.store.times import AttemptTimes, Saved
from tests.support.records import NOW


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _event(kind: str, seconds: float, **fields: Any) -> Event:
    return Event(kind=kind, at=_at(seconds), fields=fields)


def _started(seconds: float, lease: int = 1, first_step: int = 0) -> Event:
    return _event("started", seconds, lease=lease, first_step=first_step)


def _times(lease: int, step: int, until: float, *saved: tuple[int, float], **seconds: float) -> AttemptTimes:
    return AttemptTimes.model_validate(
        {
            "lease": lease,
            "until": _at(until),
            "step": step,
            "seconds": seconds,
            "saved": [Saved(step=step, steps_s=steps_s) for step, steps_s in saved],
        }
    )


def _run(ended: float | None = None, phase: str = "succeeded") -> RunRecord:
    end = None if ended is None else _at(ended)
    return RunRecord.model_validate(
        {"run": "demo-0001", "name": "demo", "phase": phase, "started_at": NOW, "ended_at": end}
    )


@pytest.mark.parametrize(
    ("run", "events", "accounts", "expected"),
    [
        pytest.param(
            _run(100),
            [_started(20)],
            [_times(1, 50, 95, (25, 30.0), (50, 60.0), steps=60.0, data=5.0, checkpoint=3.0, evaluation=7.0)],
            {"start_up": 20, "steps": 60, "data": 5, "checkpoint": 3, "evaluation": 7, "other": 5},
            id="one attempt to its end",
        ),
        pytest.param(
            _run(200),
            [_started(10), _event("restarted", 100, reason="infrastructure"), _started(120, 2, 25)],
            [_times(1, 40, 90, (25, 50.0), steps=80.0), _times(2, 50, 180, (50, 60.0), steps=60.0)],
            # 15 of the first attempt's 40 steps are done again; 10 s pass until the failure shows.
            {"start_up": 10 + 20, "steps": 50 + 60, "lost": 30 + 10, "other": 20},
            id="killed between two checkpoints",
        ),
        pytest.param(
            _run(200),
            [_started(10), _event("restarted", 100, reason="infrastructure"), _started(110, 2, 0)],
            [_times(1, 40, 90, steps=80.0), _times(2, 50, 200, steps=90.0)],
            {"start_up": 10 + 10, "steps": 90, "lost": 80 + 10},
            id="killed before the first checkpoint",
        ),
        pytest.param(
            _run(100),
            [_started(10), _event("restarted", 50, reason="resize"), _started(60, 2, 20)],
            [_times(1, 20, 48, (20, 30.0), steps=30.0, checkpoint=5.0), _times(2, 40, 100, steps=40.0)],
            {"start_up": 20, "steps": 70, "checkpoint": 5, "other": 5},
            id="asked to stop, with all saved",
        ),
        pytest.param(
            _run(1_000),
            [_started(10), _event("stopped", 50), _event("continued", 950), _started(960, 2, 20)],
            [_times(1, 20, 50, (20, 40.0), steps=40.0), _times(2, 40, 1_000, steps=40.0)],
            {"start_up": 20, "steps": 80},
            id="the clock stands while nobody runs it",
        ),
        pytest.param(
            _run(1_000),
            [_started(10), _event("continued", 950), _started(960, 2, 10)],
            [_times(1, 20, 60, (10, 20.0), steps=50.0), _times(2, 40, 1_000, steps=40.0)],
            {"start_up": 20, "steps": 60, "lost": 30},
            id="the driver was killed",
        ),
        pytest.param(
            _run(100, "failed"),
            [_started(10), _event("failed", 100, reason="the loss was nan")],
            [_times(1, 20, 60, (10, 20.0), steps=50.0)],
            {"start_up": 10, "steps": 50, "lost": 40},
            id="failed for good",
        ),
        pytest.param(
            _run(None, "running"),
            [_started(10)],
            [_times(1, 20, 70, steps=50.0, data=10.0)],
            {"start_up": 10, "steps": 50, "data": 10, "other": 10},
            id="going on",
        ),
        pytest.param(
            _run(130),
            [_event("restarted", 40, reason="infrastructure"), _started(60, 2), _event("failed", 130)],
            [_times(9, 20, 70, steps=50.0)],
            {"start_up": 60, "lost": 70},
            id="workers that never came up, and some that told nothing",
        ),
        pytest.param(
            _run(200),
            [_started(10), _started(120, 2, 10)],
            [_times(1, 20, 60, (10, 20.0), steps=50.0), _times(2, 40, 200, steps=80.0)],
            {"start_up": 10, "steps": 100, "lost": 30},
            id="a trial that was started again without a word",
        ),
        pytest.param(
            _run(100, "failed"),
            [_started(10)],
            [_times(1, 20, 60, steps=50.0)],
            {"start_up": 10, "steps": 50, "lost": 40},
            id="failed without an event",
        ),
        pytest.param(
            _run(50),
            [_started(10)],
            [_times(1, 20, 70, steps=50.0)],
            {"start_up": 10, "steps": 50},
            id="clocks that differ",
        ),
    ],
)
def test_every_second_is_in_one_category(
    run: RunRecord, events: list[Event], accounts: list[AttemptTimes], expected: dict[str, float]
) -> None:
    found = goodput.compute(run, events, accounts, until=_at(80))

    assert found is not None
    assert {category: seconds for category, seconds in found.seconds.items() if seconds} == expected
    assert found.wall_s == sum(expected.values())
    assert found.share == pytest.approx(expected.get("steps", 0) / found.wall_s, abs=1e-4)


def test_a_run_that_told_nothing_has_none() -> None:
    assert goodput.compute(_run(10), [_started(5)], [], until=NOW) is None


def test_attempts_without_an_account_are_counted() -> None:
    found = goodput.compute(
        _run(100),
        [_started(10), _event("restarted", 20, reason="hang"), _started(30, 2)],
        [_times(2, 9, 99)],
        until=NOW,
    )

    assert found is not None
    assert found.num_untold == 1


def test_accounts_are_read_in_their_order(tmp_path: Any) -> None:
    objects = open_storage(str(tmp_path))
    for account in (_times(2, 9, 99), _times(1, 5, 50, (5, 1.5), steps=2.0), _times(2, 10, 100)):
        times.put(objects, "demo-0001", account)

    assert times.read_all(objects, "demo-0001") == [_times(1, 5, 50, (5, 1.5), steps=2.0), _times(2, 10, 100)]
