"""Records as a run leaves them, for tests that need a storage with something on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eagleray.store import checkpoints, runs
from eagleray.store.objects import Objects

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

DOCUMENT = """\
apiVersion: eagleray.io/v1alpha1
kind: FineTune
metadata: {name: demo}
spec:
  model: {source: some/model}
  task: {type: text-classification}
  data: {train: train.jsonl}
"""

LOCK = runs.LockRecord(
    versions={"torch": "2.13.0"},
    git_commit="0" * 40,
    data_fingerprint="f" * 16,
    seed=1,
    hardware={"cpus": 2},
    python="3.11.7",
)


def new_run(objects: Objects, name: str = "demo", *, minutes: int = 0, **changes: Any) -> runs.RunRecord:
    """A run that began so many minutes after NOW."""
    now = NOW + timedelta(minutes=minutes)
    record = runs.create(objects, name=name, document=DOCUMENT, lock=LOCK, now=now).model_copy(update=changes)
    runs.save(objects, record)
    return record


def new_checkpoint(
    objects: Objects, run: str, *, step: int, scratch: Path, files: dict[str, bytes] | None = None, **metrics: float
) -> checkpoints.Manifest:
    """A committed checkpoint of small files."""
    directory = scratch / f"step-{step}"
    for name, content in (files or {"model.bin": b"weights of %d" % step, "state/rank-0.bin": b"state"}).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return checkpoints.commit(
        objects,
        run,
        step=step,
        directory=directory,
        epoch=1.5,
        metrics=metrics,
        world_size=2,
        zero_stage=2,
        versions={"torch": "2.13.0"},
        now=NOW,
    )
