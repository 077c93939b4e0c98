"""The parts of a worker, put together from the document: data, sharded model, recorder, saver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eagleray import methods
from eagleray.data import order
from eagleray.model.load import load_model
from eagleray.spec.data import LengthGroupedSpec, PackedSpec
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.store.objects import Objects, open_storage
from eagleray.tasks import packed_rows
from eagleray.tasks.base import Batch
from eagleray.train import cadence, deepspeed_config, inputs, memory, optimizers
from eagleray.train.engine import Engine
from eagleray.train.group import Group
from eagleray.train.loop import Collate
from eagleray.train.recorder import Recorder, SilentRecorder, StorageRecorder
from eagleray.train.saving import Saver

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

OPTIMIZER_BYTES = 8
"""Two fp32 moments a weight: what Adam takes at its first step, and more than the other optimizers take."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is told: plain values only, so that they can be shipped to any process."""

    document: str  # the resolved document as JSON
    storage: str
    run: str
    cache_dir: str
    micro_batch_limit: int | None = None  # after a worker ran out of memory: no more than this


@dataclass(frozen=True, slots=True)
class Session:
    """What lives in a worker as long as its run."""

    spec: FineTuneSpec
    inputs: inputs.Inputs
    engine: Engine
    group: Group
    collate: Collate
    micro_batch_size: int
    total_steps: int
    recorder: Recorder
    saver: Saver


def assemble(job: Job, group: Group, *, scratch: Path) -> Session:
    """Build all parts; nothing has been trained yet. Collective."""
    spec = FineTune.model_validate_json(job.document).spec
    objects = open_storage(job.storage)
    loaded = inputs.load(spec, cache_dir=Path(job.cache_dir))
    collate = _collate(spec, loaded, group.device)
    total_steps = cadence.total_steps(
        num_samples=len(loaded.data.train),
        global_batch_size=spec.train.global_batch_size,
        epochs=spec.train.epochs,
        max_steps=spec.train.max_steps,
    )
    torch.manual_seed(spec.train.seed)  # the same new head on every rank
    model = _model(spec, loaded)
    num_learning, num_parameters = _count(model)
    engine = _engine(spec, model, group)
    micro_batch_size = _micro_batch_size(
        spec, loaded, engine, collate, group, num_learning=num_learning, limit=job.micro_batch_limit
    )
    torch.manual_seed(spec.train.seed + 1 + group.rank)  # other dropout masks on every rank
    recorder = _recorder(spec, objects, job.run, group, total_steps=total_steps, scratch=scratch)
    recorder.event(
        "started",
        world_size=group.world_size,
        micro_batch_size=micro_batch_size,
        total_steps=total_steps,
        learning_parameters=num_learning,
        parameters=num_parameters,
    )
    saver = Saver(objects, job.run, spec=spec, inputs=loaded, engine=engine, group=group, scratch=scratch)
    return Session(
        spec=spec,
        inputs=loaded,
        engine=engine,
        group=group,
        collate=collate,
        micro_batch_size=micro_batch_size,
        total_steps=total_steps,
        recorder=recorder,
        saver=saver,
    )


def epoch_order(session: Session) -> Callable[[int], order.Epoch]:
    """Return the order of the training samples as a function of the epoch."""
    spec, train = session.spec, session.inputs.data.train
    batching = spec.data.batching
    window = batching.window_batches if isinstance(batching, LengthGroupedSpec) else 1
    return lambda epoch: order.global_batches(
        train.lengths,
        seed=spec.train.seed,
        epoch=epoch,
        fingerprint=session.inputs.data.fingerprint,
        global_batch_size=spec.train.global_batch_size,
        batching=batching.type,
        window_batches=window,
    )


def _model(spec: FineTuneSpec, loaded: inputs.Inputs) -> torch.nn.Module:
    model = load_model(
        loaded.task.model_class(),
        source=spec.model.source,
        revision=spec.model.revision,
        dtype=DTYPES[spec.train.precision],
        config_overrides=loaded.task.config_overrides(loaded.tokenizer),
        allow_pickle=spec.model.allow_pickle,
        allow_remote_code=spec.model.allow_remote_code,
    )
    if isinstance(spec.data.batching, PackedSpec):
        packed_rows.check_kept_apart(model)
    if spec.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
        model.enable_input_require_grads()  # type: ignore[no-untyped-call]
    return methods.apply(model, spec.method, task=loaded.task)


def _engine(spec: FineTuneSpec, model: torch.nn.Module, group: Group) -> Engine:
    train = spec.train
    optimizer = optimizers.build(
        model,
        train.optimizer,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        fused=True,
    )
    config = deepspeed_config.build(
        spec.scale.zero,
        world_size=group.world_size,
        precision=train.precision,
        gradient_clip=train.gradient_clip,
    )
    return Engine(model, optimizer=optimizer, config=config, group=group, gradient_clip=train.gradient_clip)


def _collate(spec: FineTuneSpec, loaded: inputs.Inputs, device: torch.device) -> Collate:
    """Return the function from sample indices and weights to a batch on the worker's device; splits share it."""
    pad_id = loaded.tokenizer.pad_token_id
    packed = isinstance(spec.data.batching, PackedSpec)

    def collate(samples: list[dict[str, Any]], weights: np.ndarray) -> Batch:
        batch = loaded.task.collate(
            samples, weights=weights, pad_id=pad_id, packed=packed, max_length=spec.data.max_length
        )
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    return collate


def _micro_batch_size(
    spec: FineTuneSpec,
    loaded: inputs.Inputs,
    engine: Engine,
    collate: Collate,
    group: Group,
    *,
    num_learning: int,
    limit: int | None,
) -> int:
    """The document's size, or what fits by measurement, the same at every rank."""
    share = -(-spec.train.global_batch_size // group.world_size)
    largest = min(share, limit or share)
    if spec.train.micro_batch_size != "auto":
        return min(largest, spec.train.micro_batch_size)
    longest = np.argsort(loaded.data.train.lengths, kind="stable")[-2:]
    peak = memory.PeakMemory(group.device)

    def pass_through(rows: int) -> None:
        samples = loaded.data.train.samples(longest[-rows:])
        batch = collate(samples, np.ones(rows, dtype=np.float32))
        engine.begin_micro_batch(is_last=False)
        loss, _ = loaded.task.loss(engine.forward, batch)
        engine.backward(loss * 0.0)  # leaves zeros in the gradients, which the first step adds to

    engine.module.train()
    sharded = group.world_size if spec.scale.zero.stage else 1
    fitting = memory.fitting_micro_batch_size(
        lambda rows: peak.growth(lambda: pass_through(rows)),
        free_bytes=memory.free_bytes(group.device, num_local_workers=group.num_local),
        reserved_bytes=OPTIMIZER_BYTES * num_learning // sharded,
        largest=min(largest, len(loaded.data.train)),
    )
    return group.min(fitting)


def _recorder(
    spec: FineTuneSpec, objects: Objects, run: str, group: Group, *, total_steps: int, scratch: Path
) -> Recorder:
    if not group.is_first:
        return SilentRecorder()
    return StorageRecorder(
        objects, run, total_steps=total_steps, log_every_steps=spec.train.log_every_steps, scratch=scratch
    )


def _count(model: torch.nn.Module) -> tuple[int, int]:
    """Weights that learn, and all."""
    learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return learning, sum(parameter.numel() for parameter in model.parameters())
