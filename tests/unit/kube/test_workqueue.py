"""In which order documents are looked at, and how often."""

from __future__ import annotations

import pytest

from eagleray.kube.kinds import Key
from eagleray.kube.workqueue import WorkQueue

A, B = Key("FineTune", "ml", "a"), Key("FineTune", "ml", "b")


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def queue(clock: list[float]) -> WorkQueue:
    return WorkQueue(lambda: clock[0])


def test_each_once_however_often_it_was_asked_for(queue: WorkQueue) -> None:
    queue.add([A, B, A])
    assert [queue.take(), queue.take(), len(queue)] == [A, B, 0]


def test_one_that_is_looked_at_waits_until_that_is_done(queue: WorkQueue) -> None:
    queue.add([A])
    assert queue.take() == A
    queue.add([A])
    assert len(queue) == 0
    queue.done(A)
    assert queue.take() == A


def test_later_is_later(queue: WorkQueue, clock: list[float]) -> None:
    queue.add_after(A, 10)
    queue.add([B])
    assert queue.take() == B
    clock[0] = 10
    assert queue.take() == A


def test_the_sooner_of_two_times_counts(queue: WorkQueue, clock: list[float]) -> None:
    queue.add_after(A, 10)
    queue.add_after(A, 5)
    queue.add_after(A, 20)
    clock[0] = 5
    assert queue.take() == A
    queue.done(A)
    clock[0] = 30
    queue.close()
    assert queue.take() is None


def test_closed_it_lets_go(queue: WorkQueue) -> None:
    queue.close()
    assert queue.take() is None
