"""A run under Ray Train from start to end, and how it ends when it cannot go on.

On a real Ray: what it makes of a failing worker is what matters here.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from eagleray.errors import ClusterError, EaglerayError, ModelSourceError, TrainingError, UserError
from eagleray.store import checkpoints, events, ledger, paths, runs
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.store.steps import read_steps
from tests.ray.conftest import Drive
from tests.ray.watching import Watcher
from tests.support.training import document

Run = Callable[..., RunRecord]
TWO = {"num_workers": 2, "cpus_per_worker": 0.5, "zero": {"stage": 2}}


@pytest.fixture
def own_model(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


@pytest.fixture
def run(drive: Drive, own_model: Path, reviews: Path) -> Run:
    def run(watcher: Watcher, **sections: dict[str, Any]) -> RunRecord:
        return drive(document(own_model, reviews, **{"scale": TWO, **sections}), watcher)

    return run


def _failed(run: Run, watcher: Watcher, **sections: dict[str, Any]) -> EaglerayError:
    with pytest.raises(EaglerayError) as told:
        run(watcher, **sections)
    return told.value


def test_two_workers(run: Run, objects: Objects) -> None:
    watcher = Watcher()

    record = run(watcher, data={"test_fraction": 0.2}, train={"baselines": True})

    assert (record.run, record.phase, record.step, record.total_steps, record.error) == (
        "test-0001",
        "succeeded",
        record.total_steps,
        record.step,
        "",
    )
    assert runs.read(objects, record.run) == record
    assert set(record.metrics) == {"validation", "test", "untuned", "majority"}
    best = checkpoints.find(objects, record.run, record.best_step)
    assert checkpoints.verify(objects, record.run, best.id) == []
    assert ledger.examine(objects, record.run, best.id).is_exact

    kinds = [event.kind for event in events.read_events(objects, record.run)]
    assert kinds == ["started", "evaluated", "checkpoint"]
    assert [row["step"] for row in read_steps(objects, record.run) if "loss" in row] == list(range(1, record.step + 1))
    assert objects.list(paths.tensorboard(record.run))

    directory = objects.local_path / paths.model(record.run)
    assert AutoModelForSequenceClassification.from_pretrained(directory).config.id2label == {0: "bad", 1: "good"}
    assert len(AutoTokenizer.from_pretrained(directory)) > 0

    assert watcher.run == record.run
    assert watcher.report.splits
    assert watcher.seen[-1].phase == "done"
    assert watcher.seen[-1].step == record.step


def test_a_fault_in_a_worker(run: Run, objects: Objects, tmp_path: Path) -> None:
    def damage_the_cache() -> None:
        for file in (tmp_path / "cache").rglob("train.tokens.arrow"):
            damaged = file.with_suffix(".damaged")
            damaged.write_bytes(b"\0" * file.stat().st_size)
            damaged.replace(file)

    error = _failed(run, Watcher(on_created=damage_the_cache))

    assert type(error) is TrainingError
    what, where = str(error).splitlines()
    assert what.startswith(("worker 0: ", "worker 1: "))
    traceback = Path(where.removeprefix("its traceback: "))
    assert traceback.read_text(encoding="utf-8").startswith("Traceback (most recent call last):")
    record = runs.read(objects, "test-0001")
    assert (record.phase, record.error) == ("failed", str(error))
    assert record.ended_at is not None


@pytest.mark.slow  # a second way to fail, with the exit code of a user's error; a start of Ray Train more
def test_a_users_error_in_a_worker_stays_one(run: Run, objects: Objects, own_model: Path) -> None:
    error = _failed(run, Watcher(on_created=(own_model / "model.safetensors").unlink))

    assert type(error) is ModelSourceError
    assert error.exit_code == 2
    assert str(own_model) in str(error)
    assert runs.read(objects, "test-0001").phase == "failed"


@pytest.mark.parametrize("named", [True, False], ids=["cluster", "this machine"])
def test_more_workers_than_there_is_room_for(
    run: Run, objects: Objects, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    if named:
        monkeypatch.setenv("RAY_ADDRESS", "auto")  # the session's Ray stays in use
    started = time.monotonic()

    error = _failed(run, Watcher(), scale={"num_workers": 900}, train={"global_batch_size": 900})

    assert time.monotonic() - started < 10
    assert isinstance(error, UserError)
    assert "scale.num_workers: 900 workers" in str(error)
    assert f"{'the cluster' if named else 'this machine'} has " in str(error)
    assert "such workers fit" in str(error)
    assert objects.list() == []


@pytest.mark.slow  # waits for a time limit
def test_a_cluster_that_is_taken(run: Run, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "5")

    @ray.remote(num_cpus=3.5)
    class Other:
        def is_there(self) -> bool:
            return True

    other = Other.remote()
    assert ray.get(other.is_there.remote())

    error = _failed(run, Watcher())

    ray.kill(other)
    assert type(error) is ClusterError
    assert "free on the cluster now: 0.5 CPUs and 0 GPUs" in str(error)
    assert "Wait until other jobs have ended" in str(error)
    assert runs.read(objects, "test-0001").phase == "failed"
