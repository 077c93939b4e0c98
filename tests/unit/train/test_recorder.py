"""What the first rank writes down, and that slow storage never holds it up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from eagleray.errors import StorageError
from eagleray.store import events, lease, mistakes, paths, runs, stops, times
from eagleray.store.lease import LeaseLost
from eagleray.store.objects import Objects, open_storage
from eagleray.store.steps import read_steps
from eagleray.train.loop import StepReport
from eagleray.train.recorder import BackgroundWriter, StorageRecorder

HOLDER = lease.this_process()
WORST = mistakes.MistakesRecord(split="test", step=5, num_rows=9, mistakes=())


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
        waited_s=0.1,
        layer_norms={"head": 2.0} if step == 1 else {},
        is_last=False,
        used=(),
        skipped=(),
    )


def test_records(tmp_path: Path) -> None:
    objects, run, recorder = _recorder(tmp_path)

    for step in range(1, 6):
        recorder.step(_report(step, loss=float(step)))
    recorder.spent("evaluation", 3.0)
    recorder.evaluation(5, {"accuracy": 0.5, "confusion_matrix": [[1]]})
    recorder.saved(5)
    recorder.mistakes(WORST)
    recorder.phase("done")
    recorder.close()

    rows = read_steps(objects, run)
    assert [(row["step"], row["loss"]) for row in rows if "loss" in row] == [(2, 1.5), (4, 3.5), (5, 5.0)]
    figures = next(row for row in rows if "loss" in row)
    assert figures["samples_per_s"] == 16
    assert figures["tokens_per_s"] == 120
    assert figures["padding_share"] == pytest.approx(0.25)
    assert [row["validation"] for row in rows if "validation" in row] == [{"accuracy": 0.5}]
    assert [event.kind for event in events.read_events(objects, run)] == ["evaluated"]
    progress = runs.read_progress(objects, run)
    assert progress is not None
    assert (progress.phase, progress.step, progress.total_steps) == ("done", 5, 5)
    assert [row["gradient_norms"] for row in rows if "gradient_norms" in row] == [{"head": 2.0}]
    assert mistakes.read(objects, run, "test") == WORST
    (spent,) = times.read_all(objects, run)
    assert (spent.lease, spent.step) == (1, 5)
    assert spent.seconds == pytest.approx({"steps": 2.0, "data": 0.5, "evaluation": 3.0})
    assert spent.saved == (times.Saved(step=5, steps_s=spent.seconds["steps"]),)
    assert progress.useful_s == pytest.approx(2.0)
    assert objects.list(paths.tensorboard(run)), "TensorBoard's file is on the storage"


def test_progress_that_is_overtaken_is_dropped_and_a_stop_is_heard(tmp_path: Path) -> None:
    objects, run, recorder = _recorder(tmp_path)
    assert recorder.stop_reason is None

    stops.request(objects, run, 1, reason="preemption", now=datetime.now(UTC))
    for step in range(1, 1000):
        recorder.step(_report(step))
    recorder.close()

    progress = runs.read_progress(objects, run)
    assert progress is not None
    assert progress.step == 999, "the last value always arrives"
    assert recorder.stop_reason == "preemption"


def test_writes_keep_their_order_while_the_storage_fails() -> None:
    written: list[str] = []
    failures = iter([True, True])

    def write() -> None:
        if next(failures, False):
            raise StorageError("gone for a moment")
        written.append("first")

    writer = BackgroundWriter(lambda: None, interval_s=0.01)
    writer.put(write)
    writer.put(lambda: written.append("second"))
    writer.close(give_up_after_s=10.0)

    assert written == ["first", "second"]
    assert writer.error is None


def test_a_storage_that_never_comes_back_is_told() -> None:
    def write() -> None:
        raise StorageError("gone for good")

    writer = BackgroundWriter(lambda: None, interval_s=0.01)
    writer.put(write)
    writer.close(give_up_after_s=0.0)

    assert str(writer.error) == "gone for good"


def test_an_attempt_that_lost_its_run_writes_no_more(tmp_path: Path) -> None:
    objects, run, recorder = _recorder(tmp_path)
    mine = lease.take(objects, run, HOLDER, now=lambda: datetime.now(UTC))
    lease.succeed(objects, run, mine, now=lambda: datetime.now(UTC))

    recorder.step(_report(2))
    recorder.close()

    assert read_steps(objects, run) == []
    assert isinstance(recorder.problem, LeaseLost)


def _recorder(tmp_path: Path) -> tuple[Objects, str, StorageRecorder]:
    objects = open_storage(str(tmp_path / "storage"))
    lock = runs.LockRecord(versions={}, git_commit="", data_fingerprint="", seed=0, hardware={}, python="")
    run = runs.create(objects, name="test", document="", lock=lock, now=datetime.now(UTC)).run
    lease.take(objects, run, HOLDER, now=lambda: datetime.now(UTC))
    return (
        objects,
        run,
        StorageRecorder(objects, run, lease_number=1, total_steps=5, log_every_steps=2, scratch=tmp_path),
    )
