"""How is a run followed by someone who sees nothing of it but its storage?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.flow import watching
from eagleray.store import events, lease, paths, records, runs
from eagleray.store.events import Event
from eagleray.store.lease import HeartbeatRecord
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.store.sweeps import Sweep
from tests.support import sweep_events
from tests.support.records import NOW, new_run

RUN = "demo-0001"


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path))


@dataclass
class Told:
    """Notes what it is told."""

    lines: list[str] = field(default_factory=list)

    def say(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")

    def created(self, record: RunRecord) -> None:
        self.lines.append(f"run {record.run}")

    def progress(self, progress: ProgressRecord) -> None:
        self.lines.append(f"step {progress.step}")

    def event(self, event: Event) -> None:
        self.lines.append(event.kind)

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        self.lines.append(f"{len(sweep.trials)} trials, going {sorted(going)}")


@dataclass
class Time:
    """Between two looks the next of these happens, and as much time passes as was slept."""

    happens: list[Callable[[], Any]]
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.happens.pop(0)()

    def now(self) -> Any:
        return NOW + timedelta(seconds=sum(self.sleeps))


def _follow(objects: Objects, *happens: Callable[[], Any], follow: Any = watching.follow_run) -> tuple[Told, Time]:
    told, time = Told(), Time(list(happens))
    follow(objects, RUN, told, sleep=time.sleep, now=time.now)
    return told, time


def _step(objects: Objects, step: int, *, seconds: float = 0.0) -> None:
    at = NOW + timedelta(seconds=seconds)
    runs.put_progress(objects, RUN, ProgressRecord(step=step, phase="training", updated_at=at))


def _end(objects: Objects, phase: str = "succeeded") -> None:
    runs.save(objects, runs.read(objects, RUN).model_copy(update={"phase": phase}))


def _nothing() -> None:
    pass


def test_what_is_new_is_told_once(objects: Objects) -> None:
    new_run(objects, phase="running")
    for number in range(7):
        events.append(objects, RUN, kind=f"event-{number}", now=NOW)
    told, _ = _follow(
        objects,
        lambda: _step(objects, 1),
        _nothing,
        lambda: events.append(objects, RUN, kind="evaluated", now=NOW),
        lambda: _end(objects, "failed"),
    )

    assert told.lines == [f"run {RUN}", *(f"event-{number}" for number in range(2, 7)), "step 1", "evaluated"]


def test_the_pauses_grow_while_nothing_is_new(objects: Objects) -> None:
    new_run(objects, phase="running")
    _, time = _follow(objects, *[_nothing] * 8, lambda: _step(objects, 1), lambda: _end(objects))

    assert time.sleeps[:3] == [1.0, 1.5, 2.25]
    assert time.sleeps[-2:] == [10.0, 1.0]


def test_a_run_that_is_silent_seems_dead_until_it_is_heard_again(objects: Objects) -> None:
    new_run(objects, phase="running")

    def pass_minutes() -> None:
        time.sleeps.append(130.0)

    told, time = Told(), Time([pass_minutes, _nothing, lambda: _step(objects, 5, seconds=131), lambda: _end(objects)])
    watching.follow_run(objects, RUN, told, sleep=time.sleep, now=time.now)

    assert [line.partition(":")[0] for line in told.lines] == [
        f"run {RUN}",
        "warning",
        "step 5",
        f"{RUN} is heard of again",
    ]
    assert "nothing was heard of demo-0001 for 2 minutes: it seems dead" in told.lines[1]


def test_the_heartbeat_of_its_driver_is_a_sign_of_life(objects: Objects) -> None:
    new_run(objects, phase="running")
    lease.take(objects, RUN, lease.this_process(), now=lambda: NOW)
    beat = HeartbeatRecord(count=1, at=NOW + timedelta(seconds=125))
    objects.put(paths.heartbeat(RUN, 1), records.dump(beat))

    def pass_minutes() -> None:
        time.sleeps.append(130.0)

    told, time = Told(), Time([pass_minutes, lambda: _end(objects)])
    watching.follow_run(objects, RUN, told, sleep=time.sleep, now=time.now)

    assert told.lines == [f"run {RUN}"]


def test_a_sweep_is_told_as_a_whole(objects: Objects) -> None:
    new_run(objects, kind="Sweep", phase="running")
    writer = events.Writer(objects, RUN)
    for event in (sweep_events.started(), sweep_events.created(0), sweep_events.begun(0)):
        writer.append(event)
    told, _ = _follow(
        objects,
        lambda: writer.append(sweep_events.created(1)),
        lambda: writer.append(sweep_events.ended(0)),
        lambda: _end(objects),
        follow=watching.follow_sweep,
    )

    assert told.lines == [
        f"run {RUN}",
        "1 trials, going [0]",
        "2 trials, going [0]",
        "2 trials, going []",
    ]


def test_a_deleted_run_ends_the_watching(objects: Objects) -> None:
    new_run(objects, phase="running")

    with pytest.raises(UserError, match=r"demo-0001 is not on .* any more: somebody has deleted it"):
        _follow(objects, lambda: runs.delete(objects, RUN))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param("demo", "demo-0002", id="the-newest-of-the-name"),
        pytest.param("demo-0001", "demo-0001", id="by-its-id"),
    ],
)
def test_find(objects: Objects, wanted: str, found: str) -> None:
    new_run(objects, phase="succeeded")
    new_run(objects, phase="running", minutes=1)

    assert watching.find(objects, wanted).run == found


def test_find_says_what_there_is(objects: Objects) -> None:
    new_run(objects)

    with pytest.raises(UserError, match="did you mean demo"):
        watching.find(objects, "dmo")
