"""A real MLflow server is told all of a run, once, however often it is told and whenever it was away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient

from eagleray.errors import UserError
from eagleray.flow import teller, tracking
from eagleray.spec import document
from eagleray.spec.finetune import FineTune
from eagleray.store import events, runs, sweeps
from eagleray.store.lineage import VersionFile, VersionRecord
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import RunRecord
from eagleray.store.steps import StepLog
from tests.support import mlflow_server, sweep_events
from tests.support.mlflow_server import Server
from tests.support.records import DOCUMENT, LOCK, NOW

LAST = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server.started(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


def text(server: Server, name: str) -> str:
    return DOCUMENT.replace("name: demo", f"name: {name}") + f"  tracking: {{type: mlflow, uri: '{server.uri}'}}\n"


def new_run(objects: Objects, server: Server, name: str, **changes: Any) -> RunRecord:
    made = runs.create(objects, name=name, document=text(server, name), lock=LOCK, now=NOW)
    record = made.model_copy(update={"phase": "running", **changes})
    runs.save(objects, record)
    return record


def add_steps(objects: Objects, run: str, steps: range, *, lease: int = 1) -> None:
    writer = StepLog(objects, run, lease=lease)
    for step in steps:
        at = (NOW + timedelta(seconds=step)).isoformat()
        writer.add({"step": step, "loss": 1.0 / step, "learning_rate": 0.1, "time": at})
        if step % 10 == 0:
            writer.add({"step": step, "validation": {"accuracy": step / 100, "confusion_matrix": [[1]]}, "time": at})
    writer.flush()


def end(objects: Objects, record: RunRecord, phase: str = "succeeded") -> None:
    metrics = {"test": {"accuracy": 0.5, "confusion_matrix": [[1]]}}
    ended = {"phase": phase, "ended_at": NOW + timedelta(minutes=5), "metrics": metrics, "best_step": 30}
    runs.save(objects, record.model_copy(update=ended))


def told(server: Server, name: str) -> list[Any]:
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name(name)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def steps_of(server: Server, run: Any, metric: str) -> list[int]:
    return sorted(each.step for each in MlflowClient(server.uri).get_metric_history(run.info.run_id, metric))


def test_a_run_is_told_once(server: Server, objects: Objects) -> None:
    record = new_run(objects, server, "films")
    add_steps(objects, record.run, range(1, 21))
    for _ in range(2):  # each time as a new process would
        tracking.tell(objects, record.run)
    [going_on] = told(server, "films")
    assert going_on.info.status == "RUNNING"

    add_steps(objects, record.run, range(21, LAST + 1), lease=2)
    end(objects, record)
    for _ in range(2):
        tracking.tell(objects, record.run)

    [run] = told(server, "films")
    assert (run.info.run_name, run.info.status) == (record.run, "FINISHED")
    assert steps_of(server, run, "train/loss") == list(range(1, LAST + 1))
    assert steps_of(server, run, "validation/accuracy") == [10, 20, 30, 40]
    assert run.data.metrics["final/test/accuracy"] == 0.5
    assert run.data.params["train.learning_rate"] == "5e-05"
    assert run.data.params["model.source"] == "some/model"
    assert run.data.tags["eagleray.data_fingerprint"] == LOCK.data_fingerprint


@pytest.mark.parametrize(("phase", "status"), [("failed", "FAILED"), ("stopped", "KILLED")])
def test_how_a_run_ended(server: Server, objects: Objects, phase: str, status: str) -> None:
    record = new_run(objects, server, f"ends-{phase}")
    end(objects, record, phase)
    tracking.tell(objects, record.run)
    assert [run.info.status for run in told(server, f"ends-{phase}")] == [status]

    runs.save(objects, record)  # somebody goes on with it
    tracking.tell(objects, record.run)
    assert [run.info.status for run in told(server, f"ends-{phase}")] == ["RUNNING"]


def test_trials_are_below_their_sweep(server: Server, objects: Objects) -> None:
    record = runs.create(objects, name="search", document=text(server, "search"), lock=LOCK, now=NOW, kind=sweeps.KIND)
    writer = events.Writer(objects, record.run)
    for event in (
        sweep_events.started(),
        sweep_events.created(0, {"train.learning_rate": 1e-3}),
        sweep_events.begun(0),
        sweep_events.reported(0, 10, accuracy=0.5),
        sweep_events.reported(0, 20, accuracy=0.75),
        sweep_events.ended(0, step=20),
    ):
        writer.append(event)
    end(objects, record)

    for _ in range(2):
        tracking.tell(objects, record.run)

    by_name = {run.info.run_name: run for run in told(server, "search")}
    assert set(by_name) == {record.run, "trial-0"}
    trial = by_name["trial-0"]
    assert trial.data.tags["mlflow.parentRunId"] == by_name[record.run].info.run_id
    assert trial.data.params == {"train.learning_rate": "0.001"}
    assert steps_of(server, trial, "validation/accuracy") == [10, 20]
    assert trial.info.status == "FINISHED"


def test_a_version_is_registered_once(server: Server, objects: Objects) -> None:
    record = new_run(objects, server, "served")
    end(objects, record)
    wanted = document.loads(text(server, "served"), source="a.yaml").document
    version = VersionRecord(
        name="served",
        version=3,
        run=record.run,
        step=30,
        task="text-classification",
        method="full",
        created_at=NOW,
        document=wanted.model_dump(mode="json"),
        lock=LOCK,
        model_source="some/model",
        model_sha256="",
        files=(VersionFile(path="model.safetensors", size_bytes=1, sha256="a" * 64),),
        num_golden=0,
    )

    for _ in range(2):
        tracking.register(wanted, objects, version)

    [registered] = MlflowClient(server.uri).search_model_versions("name='served'")
    assert registered.tags["eagleray.version"] == "3"
    assert registered.tags["sha256.model.safetensors"] == "a" * 64
    assert registered.tags["eagleray.stored_at"].startswith(objects.uri)
    assert registered.run_id == told(server, "served")[0].info.run_id


class Looker:
    """An observer that remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.runs: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def created(self, record: RunRecord) -> None:
        self.runs.append(record.run)


def beside(wanted: FineTune, objects: Objects, looker: Looker) -> Any:
    return tracking.beside(wanted, objects, cast(Any, looker))


@pytest.mark.slow  # MLflow takes its time to come back
def test_a_server_that_is_away_holds_nobody_up(
    tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "EVERY_S", 0.1)
    looker = Looker()
    with mlflow_server.started(tmp_path) as server:
        wanted = document.loads(text(server, "away"), source="a.yaml").document
        record = new_run(objects, server, "away")
        with beside(wanted, objects, looker) as observer:
            observer.created(record)
            add_steps(objects, record.run, range(1, 11))
            until(lambda: bool(told(server, "away")))
            server.kill()
            add_steps(objects, record.run, range(11, 21), lease=2)
            until(lambda: bool(looker.warnings))
            server.start()
            add_steps(objects, record.run, range(21, LAST + 1), lease=3)
            end(objects, record)
        [run] = told(server, "away")
        assert steps_of(server, run, "train/loss") == list(range(1, LAST + 1))
        assert run.info.status == "FINISHED"
    assert looker.runs == [record.run]
    [warning] = looker.warnings
    assert server.uri in warning


def test_a_server_that_stays_away_is_given_up(
    tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "EVERY_S", 0.05)
    monkeypatch.setattr(teller, "AT_END_S", 0.1)
    nobody = cast(Server, SimpleNamespace(uri="http://127.0.0.1:9"))
    wanted = document.loads(text(nobody, "alone"), source="a.yaml").document
    record, looker = new_run(objects, nobody, "alone"), Looker()
    with beside(wanted, objects, looker) as observer:
        observer.created(record)
        until(lambda: bool(looker.warnings))

    assert "http://127.0.0.1:9" in looker.warnings[0]
    assert f"eagleray runs track {record.run}" in looker.warnings[-1]
    assert len(looker.warnings) == 2


def test_a_run_without_a_server(objects: Objects) -> None:
    made = runs.create(objects, name="demo", document=DOCUMENT, lock=LOCK, now=NOW)
    with pytest.raises(UserError, match="no section `tracking`"):
        tracking.tell(objects, made.run)
    looker = Looker()
    with beside(document.loads(DOCUMENT, source="a.yaml").document, objects, looker) as observer:
        assert observer is looker


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
