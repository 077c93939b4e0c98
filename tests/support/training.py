"""Small documents for tests that train, and the session run by a worker process of theirs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eagleray.spec.finetune import FineTune
from eagleray.store import runs
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


def train(workers: Any, document: FineTune, storage: Path, cache: Path) -> Trained:
    """Run a document on gloo workers."""
    objects = open_storage(str(storage))
    lock = runs.LockRecord(versions={}, git_commit="", data_fingerprint="", seed=0, hardware={}, python="")
    record = runs.create(objects, name="test", document="", lock=lock, now=datetime.now(UTC))
    job = Job(document=document.model_dump_json(), storage=str(storage), run=record.run, cache_dir=str(cache))
    outcomes = workers.run(run_session, asdict(job))
    assert all(outcome == outcomes[0] for outcome in outcomes), "ranks disagree about the outcome"
    return Trained(run=record.run, outcome=outcomes[0], steps=read_steps(objects, record.run))


def run_session(group: Group, job: dict[str, Any]) -> dict[str, Any]:
    """In a worker process: one rank's part of a run."""
    from eagleray.train import session  # torch and DeepSpeed: in the worker only

    return asdict(session.run(Job(**job), group))
