"""What is known of workers that could not say why they failed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError

from eagleray.errors import TrainingError
from eagleray.store.failures import FailureRecord
from eagleray.train import attempts, casualties

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIED = ActorDiedError()
FOUND_DEAD = WorkerHealthCheckFailedError("Worker info: node_ip='10.0.0.7', pid=3415", DIED)
EXHAUSTED = WorkerHealthCheckFailedError(
    "A worker health check failed.", OutOfMemoryError("killed, the node was running low on memory")
)
MUTE = WorkerHealthCheckTimeoutError("A health check has been hanging. Worker info: node_ip='10.0.0.7', pid=3415")
UNREACHABLE = WorkerHealthCheckFailedError("A worker health check failed.", RuntimeError("no answer"))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FOUND_DEAD, "WorkerDied", "process 3415 on 10.0.0.7 was killed or crashed"),
        (EXHAUSTED, "OutOfMemory", "killed, the node was running low on memory"),
        (DIED, "WorkerDied", "its process was killed or crashed"),
        (MUTE, "NoAnswer", "process 3415 on 10.0.0.7 cannot answer"),
        (UNREACHABLE, "WorkerHealthCheckFailedError", "no answer"),
        (RuntimeError(), "RuntimeError", "RuntimeError()"),
    ],
    ids=[
        "found dead",
        "killed by the memory monitor",
        "dead, no more known",
        "silent",
        "another health check",
        "empty",
    ],
)
def test_a_silent_worker(error: Exception, kind: str, message: str) -> None:
    [record] = casualties.silent({1: error}, told=(), attempt=2, now=NOW)

    assert (record.rank, record.attempt, record.kind, record.message) == (1, 2, kind, message)
    assert record.traceback == str(error)


def test_those_that_told_are_left_out() -> None:
    assert [each.rank for each in casualties.silent({0: DIED, 1: DIED, 2: DIED}, told={1}, attempt=0, now=NOW)] == [
        0,
        2,
    ]


def test_what_the_user_is_told() -> None:
    [record] = casualties.silent({0: FOUND_DEAD}, told=(), attempt=0, now=NOW)

    error = attempts.error_of(attempts.GiveUp(record, "infrastructure"), traceback_place="/runs/0.txt")

    assert type(error) is TrainingError
    assert str(error).splitlines() == [
        "worker 0: WorkerDied: process 3415 on 10.0.0.7 was killed or crashed",
        attempts.WHY_DEAD,
        "what Ray knows of it: /runs/0.txt",
    ]


def _hung(rank: int, num_marks: int) -> FailureRecord:
    return FailureRecord(
        attempt=1, rank=rank, kind=attempts.HANG, message="", traceback="", num_marks=num_marks, at=NOW
    )


def _mute(rank: int) -> FailureRecord:
    [record] = casualties.silent({rank: MUTE}, told=(), attempt=1, now=NOW)
    return record


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([_hung(0, 7), _hung(1, 5)], {"first_behind": 1, "without_answer": []}),
        ([_hung(0, 7)], {"first_behind": 1, "without_answer": [1]}),
        ([_mute(1)], {"first_behind": 1, "without_answer": [1]}),
        ([], {}),
    ],
    ids=["the one with the fewest marks", "the one that does not answer", "found by the driver", "no hang"],
)
def test_who_fell_behind(failures: list[FailureRecord], expected: dict[str, object]) -> None:
    assert casualties.hang_facts(failures, num_workers=2) == expected


def test_workers_that_did_not_start() -> None:
    told = attempts.not_started(TimeoutError("timed out after 5 s. Potential causes include: (1)"), free="1 CPUs")

    assert told.startswith("the workers could not be started: timed out after 5 s.\nfree on the cluster now: 1 CPUs. ")
