"""A checkpoint for another number of workers is a new one, whole, that the run goes on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from eagleray.errors import UserError
from eagleray.flow.reshape import reshape
from eagleray.store import checkpoints, events, lease, ledger, paths
from eagleray.store.checkpoints import CheckpointDamaged, Manifest
from eagleray.store.ledger import StepUse
from eagleray.store.objects import Objects, open_storage
from eagleray.store.renewal import renewed
from eagleray.train.shards import Snapshot, StateFiles
from tests.support.records import NOW, new_checkpoint, new_run

STEPS = [StepUse(step=step, epoch=0, ranks=[[step - 1], [step + 1]]) for step in (1, 2)]


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


def _shard(scratch: Path, start: int) -> bytes:
    """Elements `start` to `start + 4` of one parameter of 8, with one moment."""
    values = torch.arange(start, start + 4, dtype=torch.float32)
    header = {
        "fragments": json.dumps({"w": [start, 8]}),
        "scalars": json.dumps({"w": {"step": 2.0}}),
        "random": json.dumps({}),
    }
    Snapshot({"weight/w": values, "exp_avg/w": values * 10}, header).write(scratch / "shard")
    return (scratch / "shard").read_bytes()


@pytest.fixture
def source(objects: Objects, tmp_path: Path) -> Manifest:
    """A checkpoint of two workers, by the attempt of lease 1, which has ended."""
    run = new_run(objects).run
    taken = lease.take(objects, run, lease.this_process(), now=lambda: NOW)
    files = {paths.state_shard(rank): _shard(tmp_path, 4 * rank) for rank in range(2)}
    with renewed(objects, run, taken, on_trouble=print):
        manifest = new_checkpoint(objects, run, step=2, scratch=tmp_path, files={"model.bin": b"weights", **files})
        ledger.write(objects, run, manifest.id, parent=None, num_samples=4, steps=STEPS)
    return manifest


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_state_is_cut_anew(objects: Objects, source: Manifest, tmp_path: Path, num_workers: int) -> None:
    made = reshape(objects, source, num_workers=num_workers)
    assert checkpoints.newest(objects, source.run) == made
    assert checkpoints.verify(objects, made.run, made.id) == []
    assert (made.step, made.lease, made.parent, made.world_size) == (2, 2, source.id, num_workers)
    names = [paths.state_shard(rank) for rank in range(num_workers)]
    assert [entry.path for entry in made.files] == ["model.bin", *names]
    checkpoints.fetch(objects, made, names, tmp_path / "down")
    files = StateFiles({rank: tmp_path / "down" / name for rank, name in enumerate(names)})
    assert torch.equal(files.read("weight", "w", 0, 8), torch.arange(8.0))
    assert torch.equal(files.read("exp_avg", "w", 0, 8), torch.arange(8.0) * 10)


def test_the_ledger_and_the_events_go_on(objects: Objects, source: Manifest) -> None:
    made = reshape(objects, source, num_workers=1)
    assert ledger.read(objects, made.run, made.id) == STEPS
    assert ledger.examine(objects, made.run, made.id).is_exact
    (event,) = events.read_events(objects, made.run)
    assert (event.kind, event.fields) == ("reshaped", {"step": 2, "num_workers": 1})


def test_the_lease_is_free_again(objects: Objects, source: Manifest) -> None:
    reshape(objects, source, num_workers=1)
    assert lease.take(objects, source.run, lease.this_process(), now=lambda: NOW).number == 3


def test_what_is_cut_so_already(objects: Objects, source: Manifest) -> None:
    with pytest.raises(UserError, match="is cut for 2 workers already"):
        reshape(objects, source, num_workers=2)


def test_a_damaged_checkpoint_is_not_reshaped(objects: Objects, source: Manifest) -> None:
    objects.put(f"{paths.checkpoint(source.run, 2, 1)}/{paths.state_shard(1)}", b"")
    with pytest.raises(CheckpointDamaged):
        reshape(objects, source, num_workers=1)
    assert checkpoints.newest(objects, source.run) == source
