"""Which rows of a split is the model most wrong about? Found in passing, in memory that the split does not grow."""

from __future__ import annotations

import heapq
import math
from dataclasses import asdict

import numpy as np
import torch

from eagleray.data.batches import MicroBatch
from eagleray.data.tokenized import Split
from eagleray.store.mistakes import KEPT, MAX_CHARACTERS, Mistake, MistakesRecord
from eagleray.tasks.base import Batch, Task, Verdict
from eagleray.train.group import Group


class Worst:
    """The rows with the highest loss of those that this rank saw."""

    def __init__(self, task: Task) -> None:
        self._task = task
        # Loss and the index with its sign turned: of equal losses the first row stays, however rows are spread.
        self._heap: list[tuple[float, int, Verdict]] = []

    def add(self, rows: np.ndarray, weights: np.ndarray, logits: torch.Tensor, batch: Batch) -> None:
        """Look at a batch of the rows of these indices; those of weight 0 do not count."""
        losses = self._task.row_losses(logits, batch)
        if losses is None:
            return
        for place, (index, loss) in enumerate(zip(rows.tolist(), losses.tolist(), strict=True)):
            if weights[place] and math.isfinite(loss) and self._is_among_worst(loss, index):
                found = (loss, -index, self._task.verdict(logits, batch, place))
                (heapq.heappush if len(self._heap) < KEPT else heapq.heapreplace)(self._heap, found)

    def record(self, split: Split, *, name: str, step: int, group: Group) -> MistakesRecord | None:
        """Put the ranks' rows together, the highest loss first.

        Collective; returns None at all ranks but the first, and where rows have no loss of their own.
        """
        found = [each for share in group.exchange(self._heap) for each in share]
        if not (group.is_first and found):
            return None
        worst = sorted(found, key=lambda each: each[:2], reverse=True)[:KEPT]
        mistakes = tuple(self._mistake(split, -index, loss, verdict) for loss, index, verdict in worst)
        return MistakesRecord(split=name, step=step, num_rows=len(split), mistakes=mistakes)

    def _is_among_worst(self, loss: float, index: int) -> bool:
        return len(self._heap) < KEPT or (loss, -index) > self._heap[0][:2]

    def _mistake(self, split: Split, index: int, loss: float, verdict: Verdict) -> Mistake:
        text = self._task.shown(split.row(index))
        cut = text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"
        return Mistake(index=index, place=split.place(index), text=cut, loss=loss, **asdict(verdict))


class Doubts:
    """The training rows of some steps that the model was most wrong about when it saw them, by what it said anyway."""

    def __init__(self, task: Task, *, steps: range) -> None:
        self.steps = steps
        # Without labels none can be wrong, and of a vocabulary's logits even a second look costs time.
        self.worst = Worst(task) if task.labels else None

    def look(self, step: int, rows: MicroBatch, logits: torch.Tensor, batch: Batch) -> None:
        """Look at a micro batch of a step."""
        if self.worst is not None and step in self.steps:
            self.worst.add(*rows, logits, batch)
