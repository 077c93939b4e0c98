"""A checkpoint goes to the storage behind training: what waits for it is counted, and no second one sets out."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from eagleray.errors import StorageError
from eagleray.store.checkpoints import CheckpointId
from eagleray.train.saving import Saver
from eagleray.train.state import TrainState
from eagleray.train.uploads import MARK_INTERVAL_S, Upload


def test_the_wait_is_counted_and_told_to_the_watchdog() -> None:
    marks: list[str] = []
    enough = threading.Event()

    def mark(doing: str) -> None:
        marks.append(doing)
        if len(marks) == 2:
            enough.set()

    stall_s = Upload(lambda: _wait(enough)).wait(mark)

    assert MARK_INTERVAL_S <= stall_s < 20 * MARK_INTERVAL_S
    assert set(marks) == {"waiting for the upload of a checkpoint"}


def test_a_wait_has_its_limit() -> None:
    never = threading.Event()
    upload = Upload(lambda: _wait(never))

    assert upload.wait(lambda doing: None, timeout_s=0.0) < MARK_INTERVAL_S

    never.set()
    upload.wait(lambda doing: None)


def test_what_went_wrong_is_raised_by_who_waits() -> None:
    def fail() -> None:
        raise StorageError("the storage is full")

    upload = Upload(fail)

    with pytest.raises(StorageError, match="the storage is full"):
        upload.wait(lambda doing: None)


class Storage:
    """Where each checkpoint arrives only after somebody has begun to wait for it."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.costs: list[dict[str, float]] = []
        self._may_go = threading.Event()

    def copy(self) -> str:
        self.happened.append("copied")
        return "contents"

    def write(self, manifest: int, contents: str, best: CheckpointId, costs: dict[str, float]) -> None:
        _wait(self._may_go)
        self.happened.append(f"written {manifest}")
        self.costs.append(costs)

    def mark(self, doing: str) -> None:
        self._may_go.set()


def _saver(storage: Storage, spent: list[tuple[str, float]]) -> Any:
    saver: Any = SimpleNamespace(
        _lease_number=1,
        _run="test-0001",
        _saved=[],
        _uses=[],
        _upload=None,
        _mark=storage.mark,
        _recorder=SimpleNamespace(spent=lambda what, seconds: spent.append((what, seconds)), saved=lambda step: None),
        _manifest=lambda reached, metrics: reached.step,
        _contents=storage.copy,
        _write=storage.write,
    )
    saver.wait = lambda: Saver.wait(saver)
    saver.best = lambda: saver._saved[-1]
    return saver


def test_one_is_under_way_at_most() -> None:
    storage, spent = Storage(), []
    saver = _saver(storage, spent)

    for step in (3, 6):
        Saver.save(saver, TrainState(step=step), metrics={}, is_due=True)
    Saver.wait(saver)

    assert storage.happened == ["copied", "written 3", "copied", "written 6"]
    assert [what for what, _ in spent] == ["checkpoint", "checkpoint"]
    first, second = storage.costs
    assert first["stall_s"] == 0.0
    assert 0.0 <= second["stall_s"] <= spent[1][1] + 0.001


def _wait(event: threading.Event) -> None:
    assert event.wait(timeout=60)
