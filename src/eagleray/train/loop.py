"""The training loop: a generator of step reports. What is done with a report is the caller's business."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from eagleray.data.batches import MicroBatch
from eagleray.data.order import Epoch
from eagleray.errors import PeerFailed
from eagleray.tasks.base import Batch, Task, num_cells_of
from eagleray.train import targets
from eagleray.train.engine import Engine
from eagleray.train.feed import BadSample, Feed, Share
from eagleray.train.group import Group
from eagleray.train.losses import Loss


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimizer step did, over all workers but for what says otherwise."""

    step: int  # 1 after the first optimizer step
    epoch: int  # 0 in the first pass over the data
    loss: float  # mean over the targets of the global batch
    learning_rate: float
    gradient_norm: float  # before clipping
    num_samples: int
    num_tokens: int  # without padding
    num_cells: int  # with padding
    seconds: float
    waited_s: float  # of those, until every worker had read its part of the batch
    layer_norms: dict[str, float]  # as `gradient_norm`, of each layer; empty where the step was not measured
    is_last: bool  # some rank was asked to stop: all of them stop after this step
    used: tuple[int, ...]  # samples that this worker's collate received
    skipped: tuple[BadSample, ...]  # samples that this worker had to leave out


def train_steps(
    engine: Engine,
    *,
    task: Task,
    feed: Feed,
    epoch_order: Callable[[int], Epoch],
    steps_per_epoch: int,
    loss: Loss,
    learning_rate: Callable[[int], float],
    first_step: int,
    total_steps: int,
    group: Group,
    is_asked_to_stop: Callable[[], bool],
    measures_layers: Callable[[int], bool],
    on_logits: Callable[[int, MicroBatch, torch.Tensor, Batch], None],
    mark: Callable[[str], None],
) -> Iterator[StepReport]:
    """Train from `first_step` (0 at the start) to `total_steps` optimizer steps and yield a report after each.

    `loss` is what is minimised. The loss of a micro batch is its sum over targets divided by the number of targets of
    the whole global batch, so it depends neither on the number of workers nor on accumulation. DeepSpeed averages
    gradients over the workers, hence the factor `world_size`. `measures_layers` says of which steps the gradients are
    measured by layer. `on_logits` is shown each micro batch of a step (1 at the first): its samples, and what the model
    said of them. `mark` is told what is done next: silence means that it hangs.
    """
    step = first_step
    while step < total_steps:
        epoch, first = divmod(step, steps_per_epoch)
        order = epoch_order(epoch)
        for k in range(first, min(steps_per_epoch, first + total_steps - step)):
            started = time.perf_counter()
            mark("reading a batch")
            share, failure = _read(feed, order[k], epoch=epoch)
            counted = targets.counts(task, share.batches)
            mark("agreeing on the batch")
            *totals, num_asked, num_failed = _sum(group, *counted, is_asked_to_stop(), failure is not None)
            waited_s = time.perf_counter() - started
            if num_failed:
                raise failure or PeerFailed("another worker could not read its part of the batch")
            batches, num_targets = targets.settled(task, share.batches, totals)
            rate = learning_rate(step)
            engine.set_learning_rate(rate, step=step)
            scale = group.world_size / max(num_targets, 1.0)
            told = partial(on_logits, step + 1)
            loss_sum = _learn(engine, batches, share.rows, loss=loss, scale=scale, mark=mark, on_logits=told)
            mark("updating the weights")
            layer_norms = engine.layer_norms() if measures_layers(step + 1) else {}
            norm = engine.step()
            step += 1
            num_cells = sum(num_cells_of(batch) for batch in batches)
            loss_sum, tokens, cells, samples = _sum(group, loss_sum, share.num_tokens, num_cells, len(share.used))
            yield StepReport(
                step=step,
                epoch=epoch,
                loss=loss_sum / max(num_targets, 1.0),
                learning_rate=rate,
                gradient_norm=norm,
                num_samples=int(samples),
                num_tokens=int(tokens),
                num_cells=int(cells),
                seconds=time.perf_counter() - started,
                waited_s=waited_s,
                layer_norms=layer_norms,
                is_last=num_asked > 0,
                used=tuple(share.used),
                skipped=tuple(share.skipped),
            )


def _learn(
    engine: Engine,
    batches: Sequence[Batch],
    rows: Sequence[MicroBatch],
    *,
    loss: Loss,
    scale: float,
    mark: Callable[[str], None],
    on_logits: Callable[[MicroBatch, torch.Tensor, Batch], None],
) -> float:
    """Leave the gradients of a worker's micro batches, their loss times `scale`, and return the sum of their losses."""
    engine.train()
    loss_sum = 0.0
    for number, (batch, samples) in enumerate(zip(batches, rows, strict=True), start=1):
        mark(f"micro batch {number}")
        engine.begin_micro_batch(is_last=number == len(batches))
        summed, logits = loss(engine.forward, batch)
        engine.backward(summed * scale)
        loss_sum += summed.item()
        on_logits(samples, logits.detach(), batch)
    return loss_sum


def _read(feed: Feed, indices: np.ndarray, *, epoch: int) -> tuple[Share, Exception | None]:
    """This worker's share, or what went wrong: raised at once it would leave the other workers waiting."""
    try:
        return feed.share(indices, epoch=epoch), None
    except Exception as error:
        return Share(), error


def _sum(group: Group, *values: float) -> list[float]:
    return [float(value) for value in group.sum(torch.tensor(values, dtype=torch.float64)).tolist()]
