"""The training loop: a generator of step reports. What is done with a report is the caller's business."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from eagleray.data.batches import micro_batches
from eagleray.data.order import Epoch
from eagleray.data.tokenized import TokenizedSplit
from eagleray.tasks.base import Batch, Sample, Task
from eagleray.train.engine import Engine
from eagleray.train.group import Group

Collate = Callable[[list[Sample], np.ndarray], Batch]
"""(samples, weights) -> batch on the worker's device. A sample of weight 0 is filler and counts for nothing."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimizer step did, over all workers."""

    step: int  # 1 after the first optimizer step
    epoch: int  # 0 in the first pass over the data
    loss: float  # mean over the targets of the global batch
    learning_rate: float
    gradient_norm: float  # before clipping
    num_samples: int
    num_tokens: int  # without padding
    num_cells: int  # with padding
    seconds: float
    ends_epoch: bool


def train_steps(
    engine: Engine,
    *,
    task: Task,
    split: TokenizedSplit,
    collate: Collate,
    epoch_order: Callable[[int], Epoch],
    accumulation: int,
    packed: bool,
    label_smoothing: float,
    learning_rate: Callable[[int], float],
    total_steps: int,
    group: Group,
) -> Iterator[StepReport]:
    """Train for `total_steps` optimizer steps and yield a report after each.

    The loss of a micro batch is its sum over targets divided by the number of targets of the whole global batch, so
    it depends neither on the number of workers nor on accumulation. DeepSpeed averages gradients over the workers,
    hence the factor `world_size`.
    """
    step, epoch = 0, 0
    while step < total_steps:
        order = epoch_order(epoch)
        for k in range(len(order)):
            started = time.perf_counter()
            shares = micro_batches(
                order[k],
                split.lengths,
                world_size=group.world_size,
                rank=group.rank,
                accumulation=accumulation,
                balance="tokens" if packed else "length",
            )
            batches = [collate(split.samples(rows), weights) for rows, weights in shares]
            targets = _total(group, [task.num_targets(batch) for batch in batches])
            rate = learning_rate(step)
            engine.set_learning_rate(rate)
            engine.module.train()
            loss_sum = 0.0
            for number, batch in enumerate(batches, start=1):
                engine.begin_micro_batch(is_last=number == len(batches))
                loss, _ = task.loss(engine.forward, batch, label_smoothing=label_smoothing)
                engine.backward(loss * (group.world_size / max(targets, 1.0)))
                loss_sum += loss.item()
            norm = engine.step()
            step += 1
            counts = (loss_sum, _num_tokens(shares, split.lengths), _num_cells(batches))
            sums = group.sum(torch.tensor(counts, dtype=torch.float64)).tolist()
            yield StepReport(
                step=step,
                epoch=epoch,
                loss=sums[0] / max(targets, 1.0),
                learning_rate=rate,
                gradient_norm=norm,
                num_samples=len(order[k]),
                num_tokens=int(sums[1]),
                num_cells=int(sums[2]),
                seconds=time.perf_counter() - started,
                ends_epoch=k + 1 == len(order),
            )
            if step == total_steps:
                return
        epoch += 1


def _total(group: Group, counts: list[float]) -> float:
    return float(group.sum(torch.tensor([sum(counts)], dtype=torch.float64)).item())


def _num_tokens(shares: list[tuple[np.ndarray, np.ndarray]], lengths: np.ndarray) -> int:
    """Tokens of the samples that count, without padding."""
    return sum(int(lengths[rows[weights > 0]].sum()) for rows, weights in shares)


def _num_cells(batches: list[Batch]) -> int:
    """Tokens with padding: what the model computes."""
    return sum(batch["input_ids"].numel() for batch in batches)
