"""Which steps does a session take? Those of the loop, with what its document says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from eagleray.data import batches, order
from eagleray.data.batches import MicroBatch
from eagleray.spec.data import LengthGroupedSpec, PackedSpec
from eagleray.tasks.base import Batch
from eagleray.tasks.text_classification import TextClassification
from eagleray.train import cadence, losses, mixup, schedules
from eagleray.train.assembly import Session
from eagleray.train.feed import Feed
from eagleray.train.loop import StepReport, train_steps
from eagleray.train.losses import Loss

OnLogits = Callable[[int, MicroBatch, torch.Tensor, Batch], None]


def steps(
    session: Session,
    first_step: int,
    *,
    on_logits: OnLogits = lambda step, rows, logits, batch: None,
    share_left: Callable[[], float] = lambda: 1.0,
) -> Iterator[StepReport]:
    """Take the optimizer steps from `first_step` (0 at the start) on.

    `on_logits` is shown each micro batch (see `loop.train_steps`); `share_left` is what a plateau has left of the
    learning rate.
    """
    spec, train = session.spec, session.spec.train
    feed = Feed(
        session.inputs.data.train,
        session.collate,
        group=session.group,
        accumulation=batches.accumulation(
            train.global_batch_size, world_size=session.group.world_size, micro_batch_size=session.micro_batch_size
        ),
        balance="tokens" if isinstance(spec.data.batching, PackedSpec) else "length",
        skips_bad_samples=spec.failures.skip_bad_samples,
        seed=train.seed,
        mixup=train.mixup,
    )
    return train_steps(
        session.engine,
        task=session.inputs.task,
        feed=feed,
        epoch_order=_epoch_order(session),
        steps_per_epoch=session.steps_per_epoch,
        loss=_loss(session),
        learning_rate=lambda step: (
            train.learning_rate
            * share_left()
            * schedules.multiplier(train.schedule, step=step, total_steps=session.total_steps)
        ),
        first_step=first_step,
        total_steps=session.total_steps,
        group=session.group,
        measures_layers=partial(
            cadence.measures_layers, log_every=train.log_every_steps, total_steps=session.total_steps
        ),
        on_logits=on_logits,
        is_asked_to_stop=lambda: session.recorder.stop_reason is not None or session.recorder.problem is not None,
        mark=session.mark,
    )


def _epoch_order(session: Session) -> Callable[[int], order.Epoch]:
    """The order of the training samples as a function of the epoch."""
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


def _loss(session: Session) -> Loss:
    train, task = session.spec.train, session.inputs.task
    plain = losses.build(task, train, label_counts=session.inputs.data.label_counts)
    if not train.mixup:
        return plain
    is_text = isinstance(task, TextClassification)
    embeddings = session.engine.module.get_input_embeddings() if is_text else None  # type: ignore[operator]
    return partial(mixup.loss, plain, embeddings=embeddings)
