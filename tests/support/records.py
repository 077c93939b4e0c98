"""Records as a run leaves them, for tests that need a storage with something on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eagleray.store import checkpoints, paths, runs
from eagleray.store.checkpoints import CheckpointId, Manifest, Position
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
    objects: Objects,
    run: str,
    *,
    step: int,
    scratch: Path,
    lease: int = 1,
    parent: CheckpointId | None = None,
    files: dict[str, bytes] | None = None,
    check: Callable[[], None] = lambda: None,
    **metrics: float,
) -> Manifest:
    """A committed checkpoint of small files."""
    checkpoint = CheckpointId(step=step, lease=lease)
    entries = []
    for name, content in (files or {"model.bin": b"weights of %d" % step, paths.state_shard(0): b"state"}).items():
        path = scratch / str(checkpoint) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        entries.append(checkpoints.describe_file(path, name))
        checkpoints.put_file(objects, run, checkpoint, entries[-1], path)
    manifest = Manifest(
        run=run,
        step=step,
        lease=lease,
        files=tuple(entries),
        metrics=metrics,
        world_size=2,
        zero_stage=2,
        position=Position(epoch=1, batch=step),
        parent=parent,
        versions={"torch": "2.13.0"},
        created_at=NOW,
    )
    checkpoints.commit(objects, manifest, check=check)
    return manifest
