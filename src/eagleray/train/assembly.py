"""The parts of a worker, put together from the document: data, sharded model, recorder, saver."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eagleray.errors import UserError
from eagleray.metrics import own
from eagleray.metrics.own import OwnMetric
from eagleray.spec.data import PackedSpec
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ForkRecord
from eagleray.tasks.base import Batch
from eagleray.train import (
    building,
    cadence,
    features,
    footprint,
    inputs,
    micro_batch,
    mixup,
    prompt_start,
    reference,
    restoring,
)
from eagleray.train.engine import Engine
from eagleray.train.feed import Collate
from eagleray.train.group import Group
from eagleray.train.loading import Loader
from eagleray.train.recorder import Recorder, SilentRecorder, StorageRecorder
from eagleray.train.restoring import Restored
from eagleray.train.saving import Saver
from eagleray.train.state import TrainState


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is told: plain values only, so that they can be shipped to any process."""

    document: str  # the resolved document as JSON
    storage: str
    run: str
    cache_dir: str
    lease: int  # the attempt's number: without being the newest of its run, nothing can be committed
    fork: ForkRecord | None = None
    micro_batch_limit: int | None = None  # after a worker ran out of memory: no more than this
    is_trial: bool = False  # of a sweep: it ends with its last checkpoint, without test and final model
    footprint: tuple[str, ...] = ()  # what else is measured of the model, of `spec.reported.FOOTPRINT`


@dataclass(frozen=True, slots=True)
class Session:
    """What lives in a worker as long as its run."""

    spec: FineTuneSpec
    inputs: inputs.Inputs
    engine: Engine
    group: Group
    collate: Collate
    micro_batch_size: int
    steps_per_epoch: int
    total_steps: int
    recorder: Recorder
    saver: Saver
    state: TrainState  # where training begins
    is_untrained: bool  # the weights are the pretrained ones
    metrics: tuple[OwnMetric, ...]  # the document's own
    footprint: dict[str, float]  # measured once, and told with each evaluation
    mark: Callable[[str], None]  # tells the watchdog


@dataclass(frozen=True, slots=True)
class _Given:
    """What the parts are made of."""

    job: Job
    spec: FineTuneSpec
    objects: Objects
    group: Group
    loader: Loader
    scratch: Path
    mark: Callable[[str], None]
    stack: ExitStack  # closes what must be closed


@dataclass(frozen=True, slots=True)
class _Model:
    """The sharded model, and what it learns from for how long."""

    inputs: inputs.Inputs
    collate: Collate
    engine: Engine
    num_learning: int
    num_parameters: int
    steps_per_epoch: int
    total_steps: int


def assemble(
    job: Job, group: Group, *, loader: Loader, scratch: Path, mark: Callable[[str], None], stack: ExitStack
) -> Session:
    """Build all parts and restore the newest checkpoint, if there is one. Collective.

    What must be closed is left to `stack`.
    """
    spec = FineTune.model_validate_json(job.document).spec
    objects = open_storage(job.storage, must_exist=True)
    given = _Given(job, spec, objects, group, loader, scratch, mark, stack)
    metrics = own.build(spec.metrics)
    model = _build(given)
    recorder = _recorder(given, total_steps=model.total_steps)
    restored = _restore(given, model, recorder)
    micro_batch_size = micro_batch.size(
        spec,
        model.inputs,
        model.engine,
        model.collate,
        group,
        num_learning=model.num_learning,
        limit=job.micro_batch_limit,
        before=restored.micro_batch_size if restored else None,
    )
    measured = footprint.measure(
        job.footprint, engine=model.engine, loaded=model.inputs, collate=model.collate, group=group
    )
    _set_random(spec.train.seed, model.engine, group, restored)
    _tell(given, model, recorder, restored, micro_batch_size=micro_batch_size)
    return Session(
        spec=spec,
        inputs=model.inputs,
        engine=model.engine,
        group=group,
        collate=model.collate,
        micro_batch_size=micro_batch_size,
        steps_per_epoch=model.steps_per_epoch,
        total_steps=model.total_steps,
        recorder=recorder,
        saver=_saver(given, model, recorder, restored, micro_batch_size=micro_batch_size),
        state=restored.state if restored else TrainState(),
        is_untrained=restored is None,
        metrics=metrics,
        footprint=measured,
        mark=mark,
    )


def _build(given: _Given) -> _Model:
    spec, group = given.spec, given.group
    cache_dir = Path(given.job.cache_dir)
    loaded = given.loader.inputs(spec, cache_dir=cache_dir)
    inputs.check_alike(loaded.data, group)
    collate = _collate(spec, loaded, group.device)
    steps_per_epoch = cadence.steps_per_epoch(len(loaded.data.train), global_batch_size=spec.train.global_batch_size)
    total_steps = cadence.total_steps(steps_per_epoch, epochs=spec.train.epochs, max_steps=spec.train.max_steps)
    _seed(spec.train.seed)  # the same new head on every rank
    built = building.build(
        spec,
        loaded,
        loader=given.loader,
        collate=collate,
        group=group,
        total_steps=total_steps,
        cache_dir=cache_dir,
        start=prompt_start.find(given.objects, spec),
    )
    engine = built.engine
    given.stack.callback(engine.close)
    engine.module.eval()
    loaded = reference.added(built.inputs, forward=engine.forward, collate=collate, group=group, mark=given.mark)
    return _Model(loaded, collate, engine, built.num_learning, built.num_parameters, steps_per_epoch, total_steps)


def _restore(given: _Given, model: _Model, recorder: Recorder) -> Restored | None:
    restored = restoring.restore(
        given.objects,
        given.job.run,
        engine=model.engine,
        group=given.group,
        zero_stage=given.spec.scale.zero.stage,
        recorder=recorder,
        scratch=given.scratch,
        fork=given.job.fork,
    )
    _check_not_past_end(restored, model.total_steps)
    return restored


def _tell(
    given: _Given, model: _Model, recorder: Recorder, restored: Restored | None, *, micro_batch_size: int
) -> None:
    nodes = sorted(set(given.group.exchange(given.group.node)))
    recorder.event(
        "started",
        lease=given.job.lease,
        first_step=restored.state.step if restored else 0,
        nodes=nodes,
        world_size=given.group.world_size,
        micro_batch_size=micro_batch_size,
        total_steps=model.total_steps,
        learning_parameters=model.num_learning,
        parameters=model.num_parameters,
    )


def _saver(
    given: _Given, model: _Model, recorder: Recorder, restored: Restored | None, *, micro_batch_size: int
) -> Saver:
    saver = Saver(
        given.objects,
        given.job.run,
        lease_number=given.job.lease,
        spec=given.spec,
        inputs=model.inputs,
        engine=model.engine,
        group=given.group,
        recorder=recorder,
        scratch=given.scratch,
        steps_per_epoch=model.steps_per_epoch,
        micro_batch_size=micro_batch_size,
        earlier=restored.earlier if restored else (),
        origin=restored.origin if restored else None,
        mark=given.mark,
    )
    given.stack.callback(saver.close)
    return saver


def _collate(spec: FineTuneSpec, loaded: inputs.Inputs, device: torch.device) -> Collate:
    """Return the function from sample indices and weights to a batch on the worker's device; splits share it."""
    pad_id = loaded.tokenizer.pad_token_id
    packed = isinstance(spec.data.batching, PackedSpec)

    def collate(samples: list[dict[str, Any]], weights: np.ndarray) -> Batch:
        batch = loaded.task.collate(
            samples, weights=weights, pad_id=pad_id, packed=packed, max_length=spec.data.max_length
        )
        if features.COLUMN in samples[0]:
            batch[features.COLUMN] = torch.from_numpy(np.stack([sample[features.COLUMN] for sample in samples]))
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    return mixup.collating(collate) if spec.train.mixup else collate


def _recorder(given: _Given, *, total_steps: int) -> Recorder:
    if not given.group.is_first:
        return SilentRecorder()
    recorder = StorageRecorder(
        given.objects,
        given.job.run,
        lease_number=given.job.lease,
        total_steps=total_steps,
        log_every_steps=given.spec.train.log_every_steps,
        scratch=given.scratch,
    )
    given.stack.callback(recorder.close)
    return recorder


def _set_random(seed: int, engine: Engine, group: Group, restored: Restored | None) -> None:
    """Set the random states for training: those of the checkpoint where this rank has some there."""
    step = restored.state.step if restored else 0
    _seed(seed + 1 + group.rank + 1_000_003 * step)  # other dropout masks on every rank, and after every growth
    if restored is not None and restored.files is not None:
        restored.files.restore_own(group.rank, buffers=engine.buffers(), device=group.device)


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _check_not_past_end(restored: Restored | None, total_steps: int) -> None:
    """Raise UserError where a fork has no step left to take."""
    if restored is not None and not restored.earlier and restored.state.step >= total_steps:
        raise UserError(
            f"train.epochs, train.max_steps: the run ends with step {total_steps}, and the checkpoint that it begins "
            f"with is of step {restored.state.step}: give it more steps"
        )
