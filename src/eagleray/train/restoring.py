"""From which checkpoint does an attempt go on? The newest that is whole; a damaged one is passed over, and said so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eagleray.errors import StorageError
from eagleray.store import checkpoints, paths
from eagleray.store.checkpoints import CheckpointDamaged, Manifest
from eagleray.store.objects import Objects
from eagleray.store.patience import persist
from eagleray.store.runs import ForkRecord
from eagleray.train import shards, state
from eagleray.train.early_stopping import EarlyStoppingState
from eagleray.train.engine import Engine
from eagleray.train.group import Group
from eagleray.train.plateau import PlateauState
from eagleray.train.recorder import Recorder
from eagleray.train.shards import StateFiles
from eagleray.train.state import TrainState


@dataclass(frozen=True, slots=True)
class Restored:
    """A checkpoint whose weights are in the engine now."""

    state: TrainState
    micro_batch_size: int | None  # what the attempt before used; None where it had other workers
    earlier: tuple[Manifest, ...]  # the checkpoints up to this one, by step; none of another run's
    origin: Manifest | None  # the checkpoint, with whose run; None: only weights were taken over
    files: StateFiles | None  # None: only weights were taken over, nothing that a rank had for itself


def restore(
    objects: Objects,
    run: str,
    *,
    engine: Engine,
    group: Group,
    zero_stage: int,
    recorder: Recorder,
    scratch: Path,
    fork: ForkRecord | None,
) -> Restored | None:
    """Write the newest whole checkpoint of the run into the engine; None where there is none. Collective.

    A run that begins as a fork takes the other run's checkpoint as long as it has none of its own.

    Raises:
        StorageError: the storage does not answer, or the checkpoint is of another model.
    """
    manifests = _at_first(group, lambda: checkpoints.list_manifests(objects, run))
    for number in reversed(range(len(manifests))):
        manifest = manifests[number]
        files = _fetch(objects, manifest, engine=engine, group=group, zero_stage=zero_stage, scratch=scratch)
        problem = next((each for each in group.exchange(files if isinstance(files, str) else "") if each), "")
        if isinstance(files, StateFiles) and not problem:
            files.restore(engine.fragments(is_for_writing=False))
            engine.take_up()
            _tell(recorder, manifest, group)
            return _restored(manifest, files, group, earlier=manifests[: number + 1])
        if group.is_first:
            checkpoints.set_aside(objects, manifest, reason=problem)
        recorder.event("checkpoint-damaged", step=manifest.step, reason=problem)
    return (
        None if fork is None else _fork(objects, fork, engine=engine, group=group, scratch=scratch, recorder=recorder)
    )


def _fork(
    objects: Objects, fork: ForkRecord, *, engine: Engine, group: Group, scratch: Path, recorder: Recorder
) -> Restored:
    manifest = _at_first(group, lambda: [checkpoints.find(objects, fork.run, fork.step)])[0]
    files = _download(objects, manifest, range(manifest.world_size), scratch)
    fragments = engine.fragments(is_for_writing=False)
    if not files.cover(fragments):
        raise shards.incomplete(f"the checkpoint of step {fork.step} of {fork.run}")
    if fork.keeps_position:
        files.restore(fragments)
    else:
        files.restore_weights(fragments)
    engine.take_up()
    _tell(recorder, manifest, group, forked_from=fork.run)
    if not fork.keeps_position:
        return Restored(TrainState(), micro_batch_size=None, earlier=(), origin=None, files=None)
    restored = _restored(manifest, files, group, earlier=[])
    # What was due after the step was done by the other run, and what is watched may be another metric here.
    fallen = PlateauState(share=restored.state.plateau.share)
    kept = replace(restored.state, is_settled=True, stopping=EarlyStoppingState(), plateau=fallen)
    return replace(restored, state=kept)


def _restored(manifest: Manifest, files: StateFiles, group: Group, *, earlier: Sequence[Manifest]) -> Restored:
    return Restored(
        state=state.load(manifest.training["state"]),
        micro_batch_size=manifest.training["micro_batch_size"] if manifest.world_size == group.world_size else None,
        earlier=tuple(earlier),
        origin=manifest,
        files=files,
    )


def _fetch(
    objects: Objects, manifest: Manifest, *, engine: Engine, group: Group, zero_stage: int, scratch: Path
) -> StateFiles | str:
    """The state files that this rank needs: its own where the workers are as they were, else all. Or what is wrong."""
    fragments = engine.fragments(is_for_writing=False)
    is_alike = manifest.world_size == group.world_size and manifest.zero_stage == zero_stage
    try:
        if is_alike:
            files = _download(objects, manifest, [group.rank], scratch)
            if files.cover(fragments):
                return files
        files = _download(objects, manifest, range(manifest.world_size), scratch)
    except CheckpointDamaged as error:
        return str(error)
    if not files.cover(fragments):
        raise shards.incomplete(f"checkpoint of step {manifest.step}")
    return files


def _download(objects: Objects, manifest: Manifest, ranks: Sequence[int], scratch: Path) -> StateFiles:
    directory = scratch / "restored"
    names = {rank: paths.state_shard(rank) for rank in ranks}
    try:
        persist(lambda: checkpoints.fetch(objects, manifest, names.values(), directory), on_trouble=lambda error: None)
        return StateFiles({rank: directory / name for rank, name in names.items()})
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # what is open stays readable


def _at_first(group: Group, read: Callable[[], list[Manifest]]) -> list[Manifest]:
    """What the first rank reads, at every rank: two listings may differ."""
    answer: tuple[str, list[Manifest]] = "", []
    if group.is_first:
        try:
            answer = "", persist(read, on_trouble=lambda error: None)
        except StorageError as error:
            answer = str(error), []
    problem, found = group.exchange(answer)[0]
    if problem:
        raise StorageError(problem)
    return list(found)


def _tell(recorder: Recorder, manifest: Manifest, group: Group, **more: object) -> None:
    recorder.event(
        "restored",
        step=manifest.step,
        lease=manifest.lease,
        num_workers=group.world_size,
        num_workers_then=manifest.world_size,
        **more,
    )
