"""The document's own metrics are the same from one worker and from three, and a failure is that of all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.data.batches import eval_batches
from eagleray.errors import UserError
from eagleray.metrics.own import OwnMetric
from eagleray.tasks.text_classification import TextClassification
from eagleray.train.compared import Compared
from eagleray.train.group import Group

NUM_ROWS = 41
TIMEOUT_S = 30.0
TASK = TextClassification("single-label", labels=("ham", "spam"))
LABELS = torch.arange(NUM_ROWS) % 2
SAID = torch.where(torch.arange(NUM_ROWS) % 5 == 0, 1 - LABELS, LABELS)


class Ranks:
    """Groups whose ranks are threads."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self._values: list[Any] = [None] * world_size
        self._barrier = threading.Barrier(world_size, timeout=TIMEOUT_S)

    def group(self, rank: int) -> Group:
        ranks = self

        @dataclass(frozen=True)
        class Rank(Group):
            def exchange(self, value: Any) -> list[Any]:
                ranks._values[rank] = value
                ranks._barrier.wait()
                found = list(ranks._values)
                ranks._barrier.wait()
                return found

        return Rank(rank=rank, world_size=self.world_size, num_local=1, device=torch.device("cpu"))


def outcomes(
    call: Callable[[Sequence[str], Sequence[str]], Any], *, world_size: int
) -> list[dict[str, float] | BaseException]:
    """What each rank computes, or what it raises."""
    ranks = Ranks(world_size)
    metric = OwnMetric(
        "mine", "spec.metrics[0]", "mine.py", None, lambda rows, labels, scratch: call(rows.said, rows.true)
    )

    def work(rank: int) -> dict[str, float]:
        compared = Compared([metric], TASK, mark=lambda doing: None)
        lengths = np.arange(NUM_ROWS, dtype=np.int32)
        for rows, weights in eval_batches(lengths, world_size=world_size, rank=rank, micro_batch_size=4):
            logits = torch.nn.functional.one_hot(SAID[rows], 2).float()
            compared.add(rows, weights, logits, {"labels": LABELS[rows]})
        return compared.compute(ranks.group(rank), num_rows=NUM_ROWS)

    with ThreadPoolExecutor(world_size) as threads:
        asked = [threads.submit(work, rank) for rank in range(world_size)]
        return [each.exception() or each.result() for each in asked]


def position_sum(said: Sequence[str], true: Sequence[str]) -> float:
    """Depends on the order of the rows."""
    return float(sum(number for number, (one, other) in enumerate(zip(said, true, strict=True)) if one != other))


@pytest.mark.parametrize("world_size", [1, 3])
def test_a_metric_sees_the_rows_in_their_order(world_size: int) -> None:
    assert outcomes(position_sum, world_size=world_size) == [{"mine": float(sum(range(0, NUM_ROWS, 5)))}] * world_size


def test_a_failure_is_that_of_every_worker() -> None:
    raised = outcomes(lambda said, true: {}["nothing"], world_size=3)

    assert [type(each) for each in raised] == [UserError] * 3
    assert all("mine raised KeyError" in str(each) for each in raised)
