"""What a storage refuses is tried again for a while; what it answers is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eagleray.errors import StorageError
from eagleray.store.checkpoints import CheckpointDamaged
from eagleray.store.lease import LeaseLost
from eagleray.store.objects import ObjectMissing
from eagleray.store.patience import persist
from eagleray.store.records import Damaged, Newer


class Time:
    """A clock that goes on in sleeps only."""

    def __init__(self) -> None:
        self.now, self.sleeps = 100.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def _failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def operation() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return operation


def _persist(
    operation: Callable[[], str], time: Time, told: list[StorageError], *, give_up_after_s: float = 120
) -> str:
    return persist(
        operation, give_up_after_s=give_up_after_s, on_trouble=told.append, sleep=time.sleep, clock=time.clock
    )


@pytest.mark.parametrize(
    ("num_errors", "sleeps"),
    [
        pytest.param(0, [], id="works"),
        pytest.param(1, [0.5], id="once"),
        pytest.param(8, [0.5, 1, 2, 4, 8, 10, 10, 10], id="back-off"),
    ],
)
def test_what_comes_back_is_waited_for(num_errors: int, sleeps: list[float]) -> None:
    time, told = Time(), list[StorageError]()
    assert _persist(_failing(*[StorageError("gone")] * num_errors), time, told) == "done"
    assert time.sleeps == sleeps
    assert [str(error) for error in told] == ["gone"] * min(num_errors, 1)


def test_each_change_of_the_trouble_is_told() -> None:
    told = list[StorageError]()
    errors = [StorageError(text) for text in ("gone", "gone", "full", "full", "gone")]
    _persist(_failing(*errors), Time(), told)
    assert [str(error) for error in told] == ["gone", "full", "gone"]


@pytest.mark.parametrize("give_up_after_s", [0, 3, 120])
def test_what_stays_away_is_given_up_at_the_moment_said(give_up_after_s: float) -> None:
    time = Time()
    with pytest.raises(StorageError, match="gone"):
        _persist(_failing(*[StorageError("gone")] * 100), time, [], give_up_after_s=give_up_after_s)
    assert sum(time.sleeps) == give_up_after_s


def test_the_time_of_the_operation_counts() -> None:
    time = Time()

    def slow() -> str:
        time.now += 50
        raise StorageError(f"gone at {time.now}")

    with pytest.raises(StorageError, match=r"gone at 251\.5"):
        _persist(slow, time, [], give_up_after_s=100)


@pytest.mark.parametrize(
    "error",
    [LeaseLost("x"), ObjectMissing("x"), Damaged("x"), Newer("x"), CheckpointDamaged("x"), ValueError("x")],
    ids=lambda error: type(error).__name__,
)
def test_answers_and_faults_are_not_waited_for(error: Exception) -> None:
    time, told = Time(), list[StorageError]()
    with pytest.raises(type(error)):
        _persist(_failing(error), time, told)
    assert (time.sleeps, told) == ([], [])
