"""Batches by several processes: the same results in the same order, errors and what cannot be sent included."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from eagleray.data import parallel


def squares(batch: list[int]) -> list[int]:
    if 13 in batch:
        raise ValueError("13 is refused")
    return [number**2 for number in batch]


def process(batch: list[int]) -> int:
    return os.getpid()


def test_processes_give_the_same_results_in_order() -> None:
    batches = [[number, number + 100] for number in range(12)]
    alone = list(parallel.in_order(squares, batches, num_processes=1))
    assert list(parallel.in_order(squares, batches, num_processes=2, alone=3)) == alone == list(map(squares, batches))
    pids = list(parallel.in_order(process, batches, num_processes=2, alone=3))
    assert set(pids[:3]) == {os.getpid()}
    assert os.getpid() not in pids[3:]


def test_an_error_of_another_process_is_raised_here() -> None:
    with pytest.raises(ValueError, match="13 is refused"):
        list(parallel.in_order(squares, [[1], [2], [13], [4]], num_processes=2, alone=1))


def test_what_cannot_be_sent_is_done_here() -> None:
    assert list(parallel.in_order(lambda batch: os.getpid(), [[1]] * 5, num_processes=2, alone=1)) == [os.getpid()] * 5


def test_batches_are_read_as_they_are_needed() -> None:
    read: list[int] = []

    def batches() -> Iterator[list[int]]:
        for number in range(10):
            read.append(number)
            yield [number]

    results = parallel.in_order(squares, batches(), num_processes=1, alone=2)
    assert next(results) == [0]
    assert read == [0]
