"""By what is the loss of a step divided? By its targets over all workers; that of several tasks by those of each."""

from __future__ import annotations

from collections.abc import Sequence

from eagleray.tasks.base import Batch, Task
from eagleray.tasks.multi_task import MultiTask


def counts(task: Task, batches: Sequence[Batch]) -> list[float]:
    """What this worker's batches count, to be summed over the workers: as many numbers at each."""
    if isinstance(task, MultiTask):
        return task.counts(batches)
    return [sum(task.num_targets(batch) for batch in batches)]


def settled(task: Task, batches: Sequence[Batch], totals: Sequence[float]) -> tuple[list[Batch], float]:
    """The batches to take the loss of, and what that is divided by. `totals` are the `counts` of all workers."""
    if isinstance(task, MultiTask):
        return task.scaled(batches, totals), sum(totals[::2])
    return list(batches), totals[0]
