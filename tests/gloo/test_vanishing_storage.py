"""A storage that goes away in mid-run and comes back: steps are taken meanwhile, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, ledger
from tests.support import s3, tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, Trained, document, write_reviews

Workers = Callable[[int], GlooWorkers]

pytestmark = pytest.mark.slow  # away for as long as a disk or a server takes to come back

EVERY_STEPS = 100
TOTAL_STEPS = 350
AWAY_S = 20.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> FineTune:
    """A checkpoint at every hundredth step and none between: with one on its way the next one would be waited for."""
    folder = tmp_path_factory.mktemp("inputs")
    write_reviews(folder / "reviews.jsonl", num_rows=70)
    return document(
        tiny_models.save_encoder(folder / "encoder", dropout=0.1),
        folder / "reviews.jsonl",
        train={"epochs": 50, "evaluate_every_steps": EVERY_STEPS, "micro_batch_size": 2},
        checkpoint={"every_steps": EVERY_STEPS},
    )


@pytest.fixture
def server() -> Iterator[s3.Server]:
    server = s3.Server()
    yield server
    server.end()


def test_a_disk(gloo_workers: Workers, wanted: FineTune, cache: Path, tmp_path: Path) -> None:
    storage, elsewhere = tmp_path / "storage", tmp_path / "elsewhere"
    run = GlooRun(storage, cache)
    absence = Absence(run, lambda: storage.rename(elsewhere), lambda: elsewhere.rename(storage))

    trained = absence.during(lambda: run.attempt(gloo_workers(1), wanted))

    absence.assert_bridged(trained)
    assert str(storage) in _trouble(run)
    assert "Check the path, and that the disk is mounted" in _trouble(run)


@pytest.mark.parametrize("how", ["refuses", "is-silent"])
def test_s3(wanted: FineTune, cache: Path, server: s3.Server, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    for name, value in s3.environment(server.endpoint).items():
        monkeypatch.setenv(name, value)
    run = GlooRun(f"s3://{s3.new_bucket(server.endpoint)}/team", cache)
    go, come = (server.close, server.open) if how == "refuses" else (server.freeze, server.thaw)
    absence = Absence(run, go, come)
    workers = GlooWorkers(1)  # of its own, which knows the endpoint
    try:
        trained = absence.during(lambda: run.attempt(workers, wanted))
    finally:
        workers.close()

    absence.assert_bridged(trained)
    if how == "refuses":  # what is silent for less than the time limit of a request was only slow
        assert run.objects.uri in _trouble(run)
        assert "the endpoint cannot be reached" in _trouble(run)


class Absence:
    """Takes the storage of a run away once there is a checkpoint, and brings it back."""

    def __init__(self, run: GlooRun, go: Callable[[], object], come: Callable[[], object]) -> None:
        self._run, self._go, self._come = run, go, come
        self._went_at = self._came_at = datetime.max.replace(tzinfo=UTC)

    def during(self, train: Callable[[], Trained]) -> Trained:
        """Do it while `train` is at work; returns what that returns."""
        thread = threading.Thread(target=self._take_away_and_bring_back)
        thread.start()
        trained = train()
        thread.join()
        return trained

    def assert_bridged(self, trained: Trained) -> None:
        """The run has ended well after all its steps; some were taken meanwhile, and each sample was used once."""
        assert trained.outcome["step"] == TOTAL_STEPS
        assert [row["step"] for row in trained.steps if "loss" in row] == list(range(1, TOTAL_STEPS + 1))
        taken_at = [datetime.fromisoformat(row["time"]) for row in trained.steps if "loss" in row]
        meanwhile = [at for at in taken_at if self._went_at < at < self._came_at]
        assert len(meanwhile) >= EVERY_STEPS / 2
        assert (self._came_at - self._went_at).total_seconds() >= AWAY_S
        newest = checkpoints.newest(self._run.objects, self._run.run)
        assert newest is not None
        assert newest.step == TOTAL_STEPS
        report = ledger.examine(self._run.objects, self._run.run, newest.id)
        assert report.is_exact
        assert all(epoch.is_complete for epoch in report.epochs)

    def _take_away_and_bring_back(self) -> None:
        while checkpoints.newest(self._run.objects, self._run.run) is None:
            time.sleep(0.02)
        self._go()
        self._went_at = datetime.now(UTC)
        time.sleep(AWAY_S)
        self._came_at = datetime.now(UTC)
        self._come()


def _trouble(run: GlooRun) -> str:
    """What the run has told of its storage."""
    told = [event for event in events.read_events(run.objects, run.run) if event.kind == "storage-trouble"]
    return "\n".join(event.fields["error"] for event in told)
