"""The metrics of a model on a split, exact over all ranks and in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from eagleray.data.batches import eval_batches
from eagleray.data.tokenized import TokenizedSplit
from eagleray.tasks.base import Task
from eagleray.train.feed import Collate
from eagleray.train.group import Group
from eagleray.train.worst import Worst


def evaluate(
    forward: Callable[..., Any],
    *,
    task: Task,
    split: TokenizedSplit,
    collate: Collate,
    micro_batch_size: int,
    group: Group,
    worst: Worst | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return the task's metrics of the model `forward`, in evaluation mode, on `split`: the same at every rank.

    Each rank sums over its share of the rows; the sums are added over the ranks once, at the end.
    `worst` looks at every row. `on_batch(done, total)` is called after each micro batch.
    """
    metrics = task.new_metrics()
    shares = eval_batches(
        split.lengths, world_size=group.world_size, rank=group.rank, micro_batch_size=micro_batch_size
    )
    with torch.no_grad():  # not inference_mode: ZeRO-3 reuses gathered weights in the next training step
        for done, (rows, weights) in enumerate(shares, start=1):
            batch = collate(split.samples(rows), weights)
            loss, logits = task.loss(forward, batch)
            metrics.update(loss.item(), logits, batch)
            if worst is not None:
                worst.add(rows, weights, logits, batch)
            on_batch(done, len(shares))
    metrics.state.copy_(group.sum(metrics.state))
    return metrics.compute()
