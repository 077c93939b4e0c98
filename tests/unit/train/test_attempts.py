"""What the driver does after the workers have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eagleray import errors
from eagleray.store.failures import FailureRecord
from eagleray.train.attempts import Decision, GiveUp, Halve, decide, error_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def _failure(kind: str, *, rank: int = 0, message: str = "it broke") -> FailureRecord:
    return FailureRecord(
        attempt=0, rank=rank, kind=kind, message=message, traceback="Traceback …", at=START + timedelta(seconds=rank)
    )


FIRST, PEER_LOST = _failure("KeyError"), _failure("RuntimeError", rank=1)
EXHAUSTED = _failure("OutOfMemory", rank=1)


@pytest.mark.parametrize(
    ("failures", "micro_batch_size", "expected"),
    [
        ([FIRST, PEER_LOST], 8, GiveUp(FIRST)),
        ([EXHAUSTED], 8, Halve(4)),
        ([FIRST, EXHAUSTED], 8, Halve(4)),
        ([EXHAUSTED], 3, Halve(1)),
        ([EXHAUSTED], 1, GiveUp(EXHAUSTED)),
        ([EXHAUSTED], None, GiveUp(EXHAUSTED)),
    ],
    ids=[
        "first failure",
        "halve",
        "out of memory beside a lost peer",
        "odd",
        "one is the least",
        "before the first step",
    ],
)
def test_decides(failures: list[FailureRecord], micro_batch_size: int | None, expected: Decision) -> None:
    assert decide(failures, micro_batch_size=micro_batch_size) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("DataError", errors.DataError),
        ("StorageError", errors.StorageError),
        ("KeyError", errors.TrainingError),
        ("OutOfMemory", errors.OutOfMemory),
        ("Finding", errors.TrainingError),
    ],
)
def test_error_keeps_its_class(kind: str, expected: type[Exception]) -> None:
    error = error_of(_failure(kind), traceback_place="/runs/x/failures/1.txt")

    assert type(error) is expected
    assert "it broke" in str(error)


def test_error_of_a_fault_names_its_traceback() -> None:
    error = error_of(_failure("KeyError"), traceback_place="/runs/x/failures/1.txt")

    assert "/runs/x/failures/1.txt" in str(error)
    assert error.exit_code == 1
