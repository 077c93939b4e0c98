"""What does a run take: weights, memory of a worker, steps, storage? Reckoned from its document, before it is taken.

The model is built without its weights, the data are prepared as the run would prepare them (and found again by it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from eagleray.data.checks import DataReport
from eagleray.flow import weighing
from eagleray.flow.budgets import Option, options
from eagleray.flow.weighing import Weighed
from eagleray.spec.data import PackedSpec
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.spec.method import FreezeSpec
from eagleray.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, RmspropSpec, SgdSpec
from eagleray.store.scratch import scratch_directory
from eagleray.train import budget, cadence, inputs, memory
from eagleray.train.budget import Counts
from eagleray.train.inputs import Inputs
from eagleray.train.loading import DTYPES
from eagleray.train.resources import WorkerShape

FROZEN_ROWS = 32
"""Of a batch of a frozen model whose features are cached."""
_RECORDS_BYTES = 2**16
"""Of a checkpoint: the order of the samples, random states, metrics and the manifest."""


@dataclass(frozen=True, slots=True)
class Model:
    """Its weights, counted; tied ones once."""

    parameters: int
    learning: int


@dataclass(frozen=True, slots=True)
class Length:
    """How long training is."""

    rows: int
    validation_rows: int
    test_rows: int
    steps_per_epoch: int
    total_steps: int
    tokens: int  # of the samples of all steps, without padding
    num_evaluations: int
    num_checkpoints: int


@dataclass(frozen=True, slots=True)
class Batches:
    """How a step's samples are laid over the workers."""

    global_batch_size: int
    micro_batch_size: int
    accumulation: int  # micro batches of a worker in a step
    is_measured_later: bool  # `auto`: this is what the formula gives, a worker measures


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the run takes. Sizes in bytes."""

    model: Model
    length: Length
    batches: Batches
    num_workers: int
    shape: WorkerShape
    memory: tuple[Option, ...]  # by ZeRO stage; the document's own is `is_chosen`
    worker_bytes: int | None  # what a worker may take; None where nobody knows
    checkpoint_bytes: int
    exported_bytes: int
    storage_bytes: int  # at the most: the checkpoints that are kept, the best one and the model
    data: DataReport

    @property
    def chosen(self) -> Option:
        """The stage and offload of the document."""
        return next(option for option in self.memory if option.is_chosen)

    @property
    def recommended(self) -> Option | None:
        """The lowest stage that fits; None where none does, or nobody knows what a worker has."""
        return next((option for option in self.memory if option.fits), None)


def estimate(
    document: FineTune,
    *,
    cache_dir: Path,
    worker_bytes: int | None,
    shape: WorkerShape,
    on_progress: Callable[[str, int], None],
) -> Estimate:
    """Reckon what a run of a document takes. `worker_bytes`: the memory that each worker may take, None if not known.

    Raises:
        UserError: the document, the data or the model cannot work as they are.
    """
    spec = document.spec
    loaded = inputs.load(spec, cache_dir=cache_dir, on_progress=on_progress)
    length = _length(spec, loaded)
    on_cpu, is_auto = shape.num_gpus == 0, spec.train.micro_batch_size == "auto"
    share = -(-spec.train.global_batch_size // spec.scale.num_workers)
    traced = (1, min(share, len(loaded.data.train)))
    caches = isinstance(spec.method, FreezeSpec) and spec.method.cache_features
    weighed = weighing.weigh(
        spec,
        loaded,
        tuple(_longest(spec, loaded, rows) for rows in traced),
        frozen=_longest(spec, loaded, FROZEN_ROWS) if caches else None,
        on_cpu=on_cpu,
        cache_dir=cache_dir,
    )
    counts = _counts(spec, weighed)
    found = options(
        counts,
        spec.scale,
        dict(zip(traced, weighed.passes, strict=True)).__getitem__,
        share=traced[-1],
        micro_batch_size=None if is_auto else min(share, int(spec.train.micro_batch_size)),
        on_cpu=on_cpu,
        worker_bytes=worker_bytes,
        saves_while_training=length.num_checkpoints > 1,
        before_bytes=weighed.answer_bytes,
    )
    rows = next(option.micro_batch_size for option in found if option.is_chosen)
    checkpoint = budget.checkpoint_bytes(counts, other_files=_other_bytes(loaded))
    exported = budget.exported_bytes(counts)
    return Estimate(
        model=Model(counts.parameters, counts.learning),
        length=length,
        batches=Batches(spec.train.global_batch_size, rows, -(-share // rows), is_measured_later=is_auto),
        num_workers=spec.scale.num_workers,
        shape=shape,
        memory=found,
        worker_bytes=worker_bytes,
        checkpoint_bytes=checkpoint,
        exported_bytes=exported,
        storage_bytes=min(length.num_checkpoints, spec.checkpoint.keep + 1) * checkpoint + exported,
        data=loaded.data.report,
    )


def machine_bytes(shape: WorkerShape, *, num_local_workers: int) -> int | None:
    """What each worker of this machine may take now; None where it wants a GPU and there is none here."""
    if not shape.num_gpus:
        return memory.free_bytes(torch.device("cpu"), num_local_workers=num_local_workers)
    if not torch.cuda.is_available():
        return None
    return memory.free_bytes(torch.device("cuda"), num_local_workers=1)


def machine_accelerators() -> tuple[str, ...]:
    """The names of this machine's GPUs, each once."""
    return tuple(sorted({torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}))


def _counts(spec: FineTuneSpec, weighed: Weighed) -> Counts:
    return Counts(
        parameters=weighed.parameters,
        learning=weighed.learning,
        packed=weighed.packed,
        weight_bytes=DTYPES[spec.train.precision].itemsize,
        num_moments=_num_moments(spec.train.optimizer) + bool(spec.train.averaging),
    )


def _num_moments(optimizer: OptimizerSpec) -> int:
    match optimizer:
        case AdamWSpec() | AdamSpec():
            return 2
        case RmspropSpec():
            return 2 if optimizer.momentum else 1
        case SgdSpec():
            return 1 if optimizer.momentum else 0


def _length(spec: FineTuneSpec, loaded: Inputs) -> Length:
    train, data = spec.train, loaded.data
    steps_per_epoch = cadence.steps_per_epoch(len(data.train), global_batch_size=train.global_batch_size)
    total_steps = cadence.total_steps(steps_per_epoch, epochs=train.epochs, max_steps=train.max_steps)
    due = [
        cadence.due(
            step=step,
            steps_per_epoch=steps_per_epoch,
            total_steps=total_steps,
            checkpoint_every=spec.checkpoint.every_steps,
            evaluate_every=train.evaluate_every_steps,
        )
        for step in range(1, total_steps + 1)
    ]
    return Length(
        rows=len(data.train),
        validation_rows=len(data.validation),
        test_rows=len(data.test) if data.test is not None else 0,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        tokens=round(int(data.train.lengths.sum()) * total_steps / steps_per_epoch),
        num_evaluations=sum(each.evaluation for each in due),
        num_checkpoints=sum(each.checkpoint for each in due),
    )


def _longest(spec: FineTuneSpec, loaded: Inputs, rows: int) -> dict[str, torch.Tensor]:
    """A micro batch of the longest samples: the one that the peak comes from."""
    longest = np.argsort(loaded.data.train.lengths, kind="stable")[-rows:]
    return loaded.task.collate(
        loaded.data.train.samples(longest),
        weights=np.ones(len(longest), dtype=np.float32),
        pad_id=loaded.tokenizer.pad_token_id,
        packed=isinstance(spec.data.batching, PackedSpec),
        max_length=spec.data.max_length,
    )


def _other_bytes(loaded: Inputs) -> int:
    """What a checkpoint has beside weights and their moments: nearly all of it is the tokenizer."""
    with scratch_directory("tokenizer") as folder:
        loaded.tokenizer.save_pretrained(folder)
        return _RECORDS_BYTES + sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
