"""What do the document's own metrics say of a split? Every rank's rows come to the first, which asks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import torch

from eagleray.errors import UserError
from eagleray.metrics.own import OwnMetric
from eagleray.metrics.pairs import Pairs, Writer
from eagleray.store.scratch import scratch_directory
from eagleray.tasks.base import Batch, Comparable, Task
from eagleray.train.group import Group


class Compared:
    """What this rank's part of an evaluation says beside what is true. Both lie in files until they are asked for."""

    def __init__(self, metrics: Sequence[OwnMetric], task: Task, *, mark: Callable[[str], None]) -> None:
        self._metrics, self._task, self._mark = metrics, task, mark
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch_directory("metrics"))
        self._writer = Writer(self._folder / "own.jsonl")

    def add(self, rows: np.ndarray, weights: np.ndarray, logits: torch.Tensor, batch: Batch) -> None:
        """Take a batch of the rows of these indices; those of weight 0 do not count."""
        assert isinstance(self._task, Comparable), "the document refuses metrics of any other task"
        for index, weight, (said, true) in zip(
            rows.tolist(), weights.tolist(), self._task.compared(logits, batch), strict=True
        ):
            if weight:
                self._writer.add(index, said, true)

    def add_texts(self, rows: np.ndarray, said: Sequence[str], true: Sequence[str]) -> None:
        """Take texts that were written for rows."""
        for index, text, wanted in zip(rows.tolist(), said, true, strict=True):
            self._writer.add(index, text, wanted)

    def compute(self, group: Group, *, num_rows: int) -> dict[str, float]:
        """Return each metric, the same at every rank. Collective. Raises UserError at all of them where one fails."""
        with self._stack:
            self._gather(group)
            found, problem = self._numbers(num_rows) if group.is_first else ({}, "")
            answer: tuple[dict[str, float], str] = group.exchange((found, problem))[0]
        found, problem = answer
        if problem:
            raise UserError(problem)
        return found

    def _gather(self, group: Group) -> None:
        """Bring the rows together in a file of the first rank, a block of each rank at a time."""
        blocks = self._writer.blocks()
        with (self._folder / "all.jsonl").open("wb") as file:
            while any(received := group.exchange(next(blocks, b""))):
                if group.is_first:
                    file.writelines(received)

    def _numbers(self, num_rows: int) -> tuple[dict[str, float], str]:
        pairs = Pairs(self._folder / "all.jsonl", num_rows=num_rows)
        labels = self._task.numbered if isinstance(self._task, Comparable) else ()
        found: dict[str, float] = {}
        for metric in self._metrics:
            self._mark(f"asking the metric {metric.name}")
            try:
                found[metric.name] = metric.number(pairs, labels=labels, scratch=self._folder)
            except UserError as error:
                return {}, str(error)
        return found, ""


def of_document(
    metrics: Sequence[OwnMetric], task: Task, *, mark: Callable[[str], None] = lambda doing: None
) -> Compared | None:
    """What an evaluation fills; None where the document asks for nothing of its own. `mark` is told what is done."""
    return Compared(metrics, task, mark=mark) if metrics else None
