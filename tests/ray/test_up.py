"""`eagleray up` is killed wherever it can be, run again, and comes to what it would have come to."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec.document import dump
from eagleray.store import paths, registry, runs
from eagleray.store.objects import Objects, open_storage
from tests.ray.processes import Command, Shell, shell, wait_until
from tests.support.loopback import ask, free_port
from tests.support.training import document, write_reviews

SEARCH = {
    "search": {"type": "grid"},
    "scheduler": {"type": "fifo"},
    "space": {"train.learning_rate": {"grid": [1.0e-3, 1.0e-6]}},
    "objectives": [{"metric": "loss", "mode": "min"}],
    "max_concurrent": 1,
    "final": {"epochs": 6},
}
# `evaluate` finds the figures of `train` there: it has work of its own where a sweep's best trial is the model.
STEPS = ("preflight", "data", "sweep", "train", "register", "gate", "promote", "deploy", "verify")


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path) as opened:
        yield opened


class Job:
    """A document, and the command that takes it all the way."""

    def __init__(self, user: Shell, model: Path, reviews: Path, **sections: Any) -> None:
        write_reviews(user.folder / "test.jsonl", num_rows=20)
        self.user, self.file = user, user.folder / "job.yaml"
        defaults: dict[str, Any] = {
            "data": {"test": str(user.folder / "test.jsonl")},
            "train": {"epochs": 4},
            "promote": {"when": {"metric": "accuracy", "at_least": 0.0}},
        }
        self.file.write_text(dump(document(model, reviews, **{**defaults, **sections})), encoding="utf-8")

    def start(self, *options: str, storage: str = "storage") -> Command:
        return self.user.start("eagleray", "up", str(self.file), "--storage", storage, *options)

    def run(self, *options: str, storage: str = "storage") -> Command:
        command = self.start(*options, storage=storage)
        assert command.wait() == 0, command.err
        return command

    def kill_at(self, *texts: str) -> None:
        """Run it until it says one of these, and kill it there."""
        command = self.start()
        assert wait_until(lambda: any(text in command.err for text in texts), timeout_s=120), command.err
        command.process.kill()
        assert wait_until(lambda: not self.user.left_over(), timeout_s=60), self.user.left_over()


def weights(objects: Objects, run: str) -> str:
    """A hash of the final model."""
    return hashlib.sha256(objects.read(f"{paths.model(run)}/model.safetensors")).hexdigest()


def the_version(objects: Objects) -> registry.VersionRecord:
    [version] = registry.versions(objects, "test")
    return version


def test_killed_while_it_trains(user: Shell, model_with_dropout: Path, reviews: Path, objects: Objects) -> None:
    train = {"epochs": 30, "evaluate_every_steps": 14}
    job = Job(user, model_with_dropout, reviews, train=train, checkpoint={"every_steps": 14})
    job.kill_at("training: step")

    finished = job.run()

    version = the_version(objects)
    assert registry.current(objects, "test", "champion").version == version.version
    assert "test" in version.metrics
    again = job.run()
    told = [line.partition(":")[0].split() for line in again.err.splitlines()]
    assert told[2:] == [
        [step, "already", "there"] for step in ("data", "train", "evaluate", "register", "gate", "promote")
    ]
    assert [version.run] == [each.run for each in runs.list_runs(objects)], finished.err


@pytest.mark.slow  # twenty commands, of which some train
def test_killed_in_each_step_and_after_it(
    user: Shell, model_with_dropout: Path, reviews: Path, objects: Objects, tmp_path: Path
) -> None:
    port = free_port()
    endpoint = {"port": port, "rollout": {"watch_s": 1}}
    job = Job(user, model_with_dropout, reviews, sweep=SEARCH, endpoint=endpoint)
    job.run("--until", "promote", storage="unharmed")

    for step in STEPS:
        # What takes no time may be over before the signal for the step before it comes.
        job.kill_at(f"{step:9}  …", f"{step:9}  already there")
        job.kill_at(f"{step:9}  done", f"{step:9}  already there")
    last = job.start()
    last.wait_for("Ctrl-C ends it")

    version = the_version(objects)
    unharmed = open_storage(str(tmp_path / "unharmed"), must_exist=True)
    assert weights(objects, version.run) == weights(unharmed, the_version(unharmed).run)
    assert version.metrics == the_version(unharmed).metrics
    assert registry.current(objects, "test", "champion").version == version.version
    assert [each.kind for each in runs.list_runs(objects)] == ["FineTune", "Sweep"]
    key = next(line for line in _outputs(user) if line.startswith("er_"))
    status, answer = ask(port, "/v1/predict", body={"inputs": "a joy to watch"}, key=key)
    assert (status, answer["version"]) == (200, version.version)
    last.interrupt()
    assert last.wait() == 0, last.err


@pytest.mark.slow  # a sweep, and three commands
def test_killed_while_it_evaluates_the_best_trial(user: Shell, model: Path, reviews: Path, objects: Objects) -> None:
    sweep = {name: part for name, part in SEARCH.items() if name != "final"}
    job = Job(user, model, reviews, sweep=sweep)

    for moment in ("…", "done"):
        job.kill_at(f"evaluate   {moment}")
    job.run()

    version = the_version(objects)
    assert version.run == next(each.run for each in runs.list_runs(objects) if each.kind == "Sweep")
    assert "test" in version.metrics


@pytest.mark.slow  # trains, and starts Ray Serve
def test_detached(user: Shell, model: Path, reviews: Path, objects: Objects) -> None:
    """It outlives the command that started it, is found again, and ends with the command that was told."""
    port = free_port()
    job = Job(user, model, reviews, endpoint={"port": port})

    first = job.run("--detach")

    key = first.out.strip()
    assert key.startswith("er_")
    question = {"body": {"inputs": "a joy to watch"}, "key": key}
    assert ask(port, "/v1/predict", **question)[0] == 200
    again = job.run("--detach")
    assert f"deploy     already there: http://127.0.0.1:{port}" in again.err
    [told] = [line for line in first.err.splitlines() if "to end it: `kill " in line]
    log, pid = re.findall(r"`tail -f (.+?)`.*`kill (\d+)`", told)[0]
    assert Path(log).is_file()
    os.kill(int(pid), signal.SIGTERM)
    assert wait_until(lambda: not user.left_over(), timeout_s=60), user.left_over()
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/v1/predict", **question)


def _outputs(user: Shell) -> Iterator[str]:
    for file in sorted(user.folder.glob("*.out")):
        yield from file.read_text(encoding="utf-8").splitlines()
