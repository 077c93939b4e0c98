"""Small documents for tests that train, and the session run by a worker process of theirs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from eagleray.spec.finetune import FineTune
from eagleray.store import lease, runs
from eagleray.store.objects import open_storage
from eagleray.store.steps import read_steps
from eagleray.train.assembly import Job
from eagleray.train.group import Group

GOOD = [
    "a fine and moving film",
    "warm",
    "the cast is a joy to watch from start to end",
    "great fun",
    "clever and kind",
]
BAD = [
    "dull",
    "a slow film that never ends and says nothing at all",
    "no joke works",
    "cold and loud",
    "a mess of a plot",
]


def write_reviews(path: Path, *, num_rows: int) -> None:
    """Short and long sentences of two classes, told apart by their words."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(num_rows):
            words, label = (GOOD, "good") if number % 2 else (BAD, "bad")
            text = f"{words[number // 2 % len(words)]} {number % 7} {words[number % len(words)]}" + " ." * (number % 5)
            file.write(json.dumps({"text": text, "label": label}) + "\n")


def document(model: Path, data: Path, /, **sections: dict[str, Any]) -> FineTune:
    """A document for `data` with the given sections over small defaults."""
    spec = {
        "model": {"source": str(model)},
        "task": {"type": "text-classification"},
        "data": {"train": str(data), "validation": {"fraction": 0.2}, "max_length": 32},
        "train": {
            "epochs": 1,
            "global_batch_size": 8,
            "micro_batch_size": 8,
            "log_every_steps": 1,
            "learning_rate": 1e-3,
        },
    }
    for name, section in sections.items():
        spec[name] = {**spec.get(name, {}), **section}
    return FineTune.model_validate_json(json.dumps({"kind": "FineTune", "metadata": {"name": "test"}, "spec": spec}))


@dataclass(frozen=True)
class Trained:
    """What a run under gloo left behind."""

    run: str
    outcome: dict[str, Any]
    steps: list[dict[str, Any]]

    @property
    def losses(self) -> list[float]:
        return [row["loss"] for row in self.steps if "loss" in row]

    @property
    def gradient_norms(self) -> list[float]:
        return [row["gradient_norm"] for row in self.steps if "gradient_norm" in row]

    @property
    def layer_norms(self) -> list[dict[str, float]]:
        return [row["gradient_norms"] for row in self.steps if "gradient_norms" in row]


def train(workers: Any, document: FineTune, storage: Path, cache: Path) -> Trained:
    """Run a document on gloo workers, from its start to its end."""
    return GlooRun(storage, cache).attempt(workers, document)


class GlooRun:
    """A run whose attempts are made on gloo workers, as its driver would."""

    def __init__(self, storage: Path | str, cache: Path) -> None:
        self.objects = open_storage(str(storage))
        self._storage, self._cache = storage, cache
        lock = runs.LockRecord(versions={}, git_commit="", data_fingerprint="", seed=0, hardware={}, python="")
        self.run = runs.create(self.objects, name="test", document="", lock=lock, now=_now()).run
        self.lease: lease.LeaseRecord | None = None
        self.fork: runs.ForkRecord | None = None

    def job(self, document: FineTune) -> Job:
        """The job of the next attempt, whose lease is taken."""
        if self.lease is None:
            self.lease = lease.take(self.objects, self.run, lease.this_process(), now=_now)
        else:
            self.lease = lease.succeed(self.objects, self.run, self.lease, now=_now)
        return Job(
            document=document.model_dump_json(),
            storage=str(self._storage),
            run=self.run,
            cache_dir=str(self._cache),
            lease=self.lease.number,
            fork=self.fork,
        )

    def job_fields(self, document: FineTune) -> dict[str, Any]:
        """The same as a worker process is sent it."""
        return asdict(self.job(document))

    def attempt(self, workers: Any, document: FineTune) -> Trained:
        """Make an attempt that comes to its end."""
        outcomes = workers.run(run_session, asdict(self.job(document)), None)
        assert all(outcome == outcomes[0] for outcome in outcomes), "ranks disagree about the outcome"
        return Trained(run=self.run, outcome=outcomes[0], steps=read_steps(self.objects, self.run))

    def error(self, workers: Any, document: FineTune) -> tuple[str, str]:
        """Make an attempt that every worker ends with the same error of ours: its class and message."""
        answers = workers.run(run_into_error, asdict(self.job(document)))
        assert all(answer == answers[0] for answer in answers), f"the workers disagree: {answers}"
        return tuple(answers[0])

    def fail(self, workers: Any, document: FineTune, *, in_step: int) -> None:
        """Make an attempt whose workers all fail in the middle of a step."""
        answers = workers.run(run_session, asdict(self.job(document)), in_step)
        assert answers == [None] * len(answers), "it did not fail"


class FailingGroup(Group):
    """A group whose workers all fail in the middle of a step."""

    def __init__(self, group: Group, *, in_step: int) -> None:
        super().__init__(
            **{name: getattr(group, name) for name in ("rank", "world_size", "num_local", "device", "side")}
        )
        object.__setattr__(self, "_left", in_step)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Fail at the first sum of the step: the loop agrees there on the batch, with three values."""
        if values.shape == (3,):
            object.__setattr__(self, "_left", self._left - 1)
            if self._left == 0:
                raise WorkersFailed
        return super().sum(values)


class WorkersFailed(Exception):
    """What the workers of a FailingGroup raise."""


def run_session(group: Group, job: dict[str, Any], fails_in_step: int | None) -> dict[str, Any] | None:
    """In a worker process: one rank's part of an attempt; None where it failed as it was told to."""
    from eagleray.train import session  # torch and DeepSpeed: in the worker only

    if fails_in_step is None:
        return asdict(session.run(Job(**job), group))
    try:
        session.run(Job(**job), FailingGroup(group, in_step=fails_in_step))
    except WorkersFailed:
        return None
    raise AssertionError("it did not fail")


def run_into_error(group: Group, job: dict[str, Any]) -> tuple[str, str]:
    """In a worker process: the error of ours with which an attempt ends."""
    from eagleray.errors import EaglerayError
    from eagleray.train import session

    try:
        outcome = session.run(Job(**job), group)
    except EaglerayError as error:
        return type(error).__name__, str(error)
    raise AssertionError(f"it did not fail: {outcome}")


def _now() -> datetime:
    return datetime.now(UTC)
