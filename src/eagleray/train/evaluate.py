"""The metrics of a model on a split, exact over all ranks and in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from eagleray.data.batches import eval_batches
from eagleray.data.mixed import NUMBER, MixedSplit
from eagleray.data.tokenized import Split
from eagleray.metrics.base import Metrics
from eagleray.tasks.base import Batch, Sample, Task
from eagleray.tasks.multi_task import MultiTask, alone
from eagleray.train.compared import Compared
from eagleray.train.feed import Collate
from eagleray.train.group import Group
from eagleray.train.worst import Worst


def evaluate(
    forward: Callable[..., Any],
    *,
    task: Task,
    split: Split,
    collate: Collate,
    micro_batch_size: int,
    group: Group,
    languages: tuple[str, ...] = (),
    worst: Worst | None = None,
    compared: Compared | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return the task's metrics of the model `forward`, in evaluation mode, on `split`: the same at every rank.

    Each rank sums over its share of the rows; the sums are added over the ranks once, at the end. Where the split tells
    the languages of its rows, `per_language` has the numbers of each of `languages` besides, and its `rows`.
    `worst` looks at every row, and so does `compared`, which adds the document's own metrics. `on_batch(done, total)`
    is called after each micro batch.
    """
    if isinstance(split, MixedSplit):
        assert isinstance(task, MultiTask)
        return _of_each(
            forward,
            task=task,
            split=split,
            collate=collate,
            micro_batch_size=micro_batch_size,
            group=group,
            on_batch=on_batch,
        )
    # A micro batch has rows of one language: its sums are that language's, and those of all languages add up to the
    # metrics of all rows, whatever the task.
    parts = _by_language(split, languages)
    found = [task.new_metrics() for _ in parts]
    shares = [
        eval_batches(
            split.lengths[rows], world_size=group.world_size, rank=group.rank, micro_batch_size=micro_batch_size
        )
        for rows in parts
    ]
    done, total = 0, sum(map(len, shares))
    with torch.no_grad():  # not inference_mode: ZeRO-3 reuses gathered weights in the next training step
        for part, metrics, share in zip(parts, found, shares, strict=True):
            for within, weights in share:
                rows = part[within]
                batch = collate(split.samples(rows), weights)
                loss, logits = task.loss(forward, batch)
                metrics.update(loss.item(), logits, batch)
                if worst is not None:
                    worst.add(rows, weights, logits, batch)
                if compared is not None:
                    compared.add(rows, weights, logits, batch)
                done += 1
                on_batch(done, total)
    computed = _added(group, found, task).compute()
    if compared is not None:
        computed |= compared.compute(group, num_rows=len(split))
    if split.languages is None or not languages:
        return computed
    told = zip(languages, parts, found, strict=True)
    return {
        **computed,
        "per_language": {name: _numbers(metrics, len(rows)) for name, rows, metrics in told if len(rows)},
    }


def _added(group: Group, found: Sequence[Metrics], task: Task) -> Metrics:
    """Let each of these metrics hold the sums of all ranks, and return those of all of them together."""
    sums = group.sum(torch.stack([metrics.state for metrics in found]))
    for metrics, state in zip(found, sums, strict=True):
        metrics.state.copy_(state)
    overall = task.new_metrics()
    overall.state.copy_(sums.sum(dim=0))
    return overall


def _of_each(
    forward: Callable[..., Any],
    *,
    task: MultiTask,
    split: MixedSplit,
    collate: Collate,
    micro_batch_size: int,
    group: Group,
    on_batch: Callable[[int, int], None],
) -> dict[str, Any]:
    """The metrics of several tasks, one after another: all ranks then run the same head."""

    def collate_one(name: str, samples: list[Sample], weights: np.ndarray) -> Batch:
        marked = [sample | {NUMBER: split.positions[name]} for sample in samples]
        return task.parts(collate(marked, weights))[name]

    found = {
        name: evaluate(
            alone(forward, name),
            task=task.members[name],
            split=part,
            collate=partial(collate_one, name),
            micro_batch_size=micro_batch_size,
            group=group,
            on_batch=on_batch,
        )
        for name, part in split.parts.items()
    }
    return task.measured(found, split.shares)


def _by_language(split: Split, languages: tuple[str, ...]) -> list[np.ndarray]:
    """The samples of each language; all samples where languages are not told."""
    if split.languages is None or not languages:
        return [np.arange(len(split))]
    return [np.flatnonzero(split.languages == number) for number in range(len(languages))]


def _numbers(metrics: Metrics, num_rows: int) -> dict[str, float]:
    computed = {name: value for name, value in metrics.compute().items() if isinstance(value, int | float)}
    return {"rows": num_rows, **computed}
