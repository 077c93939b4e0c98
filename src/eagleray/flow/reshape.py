"""How is a checkpoint written anew for another number of workers, by hand and between two attempts?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from eagleray.errors import UserError
from eagleray.store import checkpoints, events, lease, ledger, paths
from eagleray.store.checkpoints import CheckpointId, FileEntry, Manifest
from eagleray.store.objects import Objects
from eagleray.store.renewal import renewed
from eagleray.store.scratch import scratch_directory
from eagleray.train import shards


def reshape(
    objects: Objects, source: Manifest, *, num_workers: int, on_trouble: Callable[[str], None] = lambda text: None
) -> Manifest:
    """Commit the checkpoint once more, under a lease of its own, its training state cut for so many workers.

    A run goes on from it, since of one step the checkpoint of the latest lease counts.

    Raises:
        UserError: it is cut for so many already; or the run is being driven (LeaseHeld).
        CheckpointDamaged: a file is not as the manifest says.
    """
    if source.world_size == num_workers:
        raise UserError(f"the checkpoint of step {source.step} is cut for {num_workers} workers already")
    taken = lease.take(objects, source.run, lease.this_process(), now=_now)
    with (
        renewed(objects, source.run, taken, on_trouble=on_trouble),
        scratch_directory("reshape") as scratch,
    ):
        target = CheckpointId(step=source.step, lease=taken.number)
        files = _put_files(objects, source, target, num_workers=num_workers, scratch=scratch)
        ledger.pass_on(objects, source.run, target, parent=source.id)
        made = source.model_copy(
            update={
                "lease": taken.number,
                "parent": source.id,
                "files": files,
                "world_size": num_workers,
                "created_at": _now(),
            }
        )
        checkpoints.commit(objects, made, check=lambda: lease.check(objects, source.run, taken.number))
        events.append(objects, source.run, kind="reshaped", now=_now(), step=source.step, num_workers=num_workers)
        return made


def _put_files(
    objects: Objects, source: Manifest, target: CheckpointId, *, num_workers: int, scratch: Path
) -> tuple[FileEntry, ...]:
    """Store the model's files as they are, and the training state cut anew."""
    states = [paths.state_shard(rank) for rank in range(source.world_size)]
    others = [entry.path for entry in source.files if not paths.is_state(entry.path)]
    checkpoints.fetch(objects, source, [*states, *others], scratch / "source")
    cut = shards.reshape([scratch / "source" / name for name in states], scratch / "cut", num_workers=num_workers)
    files = {name: scratch / "source" / name for name in others}
    files |= {paths.state_shard(rank): path for rank, path in enumerate(cut)}
    entries = []
    for name, path in files.items():
        entries.append(checkpoints.describe_file(path, name))
        checkpoints.put_file(objects, source.run, target, entries[-1], path)
    return tuple(entries)


def _now() -> datetime:
    return datetime.now(UTC)
