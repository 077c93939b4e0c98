"""What the first rank writes down, and that slow storage never holds it up."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eagleray.errors import StorageError
from eagleray.store import events, paths, runs
from eagleray.store.objects import open_storage
from eagleray.store.steps import read_steps
from eagleray.train.loop import StepReport
from eagleray.train.recorder import LatestWriter, StorageRecorder


def _report(step: int, *, loss: float = 1.0) -> StepReport:
    return StepReport(
        step=step,
        epoch=0,
        loss=loss,
        learning_rate=0.1,
        gradient_norm=2.0,
        num_samples=8,
        num_tokens=60,
        num_cells=80,
        seconds=0.5,
        ends_epoch=False,
    )


def test_records(tmp_path: Path) -> None:
    objects = open_storage(str(tmp_path / "storage"))
    lock = runs.LockRecord(versions={}, git_commit="", data_fingerprint="", seed=0, hardware={}, python="")
    run = runs.create(objects, name="test", document="", lock=lock, now=datetime.now(UTC)).run
    recorder = StorageRecorder(objects, run, total_steps=5, log_every_steps=2, scratch=tmp_path)

    for step in range(1, 6):
        recorder.step(_report(step, loss=float(step)))
    recorder.evaluation(5, {"accuracy": 0.5, "confusion_matrix": [[1]]})
    recorder.phase("done")
    recorder.close()

    rows = read_steps(objects, run)
    assert [(row["step"], row["loss"]) for row in rows if "loss" in row] == [(2, 1.5), (4, 3.5), (5, 5.0)]
    assert rows[0]["samples_per_s"] == 16
    assert rows[0]["tokens_per_s"] == 120
    assert rows[0]["padding_share"] == pytest.approx(0.25)
    assert [row["validation"] for row in rows if "validation" in row] == [{"accuracy": 0.5}]
    assert [event.kind for event in events.read_events(objects, run)] == ["evaluated"]
    progress = runs.read_progress(objects, run)
    assert progress is not None
    assert (progress.phase, progress.step, progress.total_steps) == ("done", 5, 5)
    assert objects.list(paths.tensorboard(run)), "TensorBoard's file is on the storage"


def test_latest_writer_drops_what_is_overtaken() -> None:
    written: list[int] = []
    release = threading.Event()

    def write(value: int) -> None:
        written.append(value)
        release.wait()  # set after the last `put`: if one waited for the write, nothing here would end

    writer = LatestWriter(write, interval_s=0.0)
    for value in range(1000):
        writer.put(value)
    release.set()
    writer.close()

    assert written[-1] == 999, "the last value always arrives"
    assert len(written) < 1000


def test_latest_writer_survives_a_storage_that_fails_for_a_while() -> None:
    written: list[str] = []
    failures = iter([True])

    def write(value: str) -> None:
        if next(failures, False):
            raise StorageError("gone for a moment")
        written.append(value)

    writer = LatestWriter(write, interval_s=0.0)
    writer.put("a")
    writer.close()

    assert written == ["a"]
