"""What the driver does after the workers have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from eagleray import errors
from eagleray.spec.failures import BudgetSpec, DataBudgetSpec, FailuresSpec, InfrastructureBudgetSpec
from eagleray.store.events import Event
from eagleray.store.failures import FailureRecord
from eagleray.train import attempts
from eagleray.train.attempts import Decision, FailureClass, GiveUp, Restart, classify, decide, error_of

START = datetime(2026, 1, 1, tzinfo=UTC)
CLOSED = "[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:21875"


def _failure(kind: str, *, rank: int = 0, message: str = "it broke") -> FailureRecord:
    return FailureRecord(
        attempt=1, rank=rank, kind=kind, message=message, traceback="Traceback …", at=START + timedelta(seconds=rank)
    )


FAULT, OTHER_FAULT = _failure("KeyError"), _failure("RuntimeError", rank=1)
LONELY, LONELY_TOO = _failure("RuntimeError", message=CLOSED), _failure("DistBackendError", rank=1, message=CLOSED)
EXHAUSTED, DEAD, HUNG = _failure("OutOfMemory", rank=1), _failure("WorkerDied", rank=1), _failure("Hang", rank=1)
MUTE = _failure("NoAnswer")
NOT_FINITE, BAD_SAMPLES = _failure("NotFinite"), _failure("BadSamples", rank=1)
MISTAKE, FENCED, REFUSED = _failure("DataError", rank=1), _failure("LeaseLost"), _failure("StorageError")


def test_every_class_but_user_has_a_budget_of_its_name() -> None:
    budgets = [name for name, value in FailuresSpec() if isinstance(value, BudgetSpec)]

    assert [*budgets, "user"] == list(get_args(FailureClass))


@pytest.mark.parametrize(
    ("failures", "expected", "expected_when_preempted"),
    [
        pytest.param([FAULT], "fault", "preemption", id="fault"),
        pytest.param([FAULT, OTHER_FAULT], "fault", "preemption", id="faults"),
        pytest.param([LONELY, FAULT], "fault", "preemption", id="fault-told-after-its-peer"),
        pytest.param([LONELY, LONELY_TOO], "infrastructure", "preemption", id="nobody-but-those-left"),
        pytest.param([], "infrastructure", "preemption", id="nobody-could-say"),
        pytest.param([DEAD], "infrastructure", "preemption", id="dead"),
        pytest.param([FAULT, DEAD], "infrastructure", "preemption", id="dead-beside-a-fault"),
        pytest.param([_failure("ClusterError")], "infrastructure", "preemption", id="cluster"),
        pytest.param([DEAD, HUNG], "hang", "preemption", id="hang-whose-process-was-ended"),
        pytest.param([MUTE], "hang", "preemption", id="hang-of-a-process-that-cannot-answer"),
        pytest.param([EXHAUSTED], "out_of_memory", "out_of_memory", id="out-of-memory"),
        pytest.param([LONELY, EXHAUSTED, DEAD], "out_of_memory", "out_of_memory", id="out-of-memory-beside-others"),
        pytest.param([FAULT, MISTAKE], "user", "user", id="mistake"),
        pytest.param([_failure("ModelSourceError")], "user", "user", id="mistake-in-the-model"),
        pytest.param([FENCED], "user", "user", id="run-is-driven-elsewhere"),
        pytest.param([REFUSED, DEAD], "infrastructure", "infrastructure", id="storage"),
        pytest.param([_failure("ObjectMissing")], "infrastructure", "infrastructure", id="storage-derived"),
        pytest.param([NOT_FINITE, LONELY_TOO], "numerical", "numerical", id="not-finite"),
        pytest.param([LONELY, BAD_SAMPLES], "data", "data", id="bad-samples"),
    ],
)
def test_classifies(
    failures: list[FailureRecord], expected: FailureClass, expected_when_preempted: FailureClass
) -> None:
    assert classify(failures, is_preempted=False) == expected
    assert classify(failures, is_preempted=True) == expected_when_preempted


@pytest.mark.parametrize(
    ("failures", "micro_batch_size", "spent", "expected"),
    [
        pytest.param([FAULT, OTHER_FAULT], 8, {}, GiveUp(FAULT, "fault"), id="fault"),
        pytest.param([EXHAUSTED], 8, {}, Restart("out_of_memory", 0.0, 4, EXHAUSTED), id="halve"),
        pytest.param(
            [FAULT, EXHAUSTED], 8, {}, Restart("out_of_memory", 0.0, 4, EXHAUSTED), id="halve-whoever-is-first"
        ),
        pytest.param([EXHAUSTED], 3, {}, Restart("out_of_memory", 0.0, 1, EXHAUSTED), id="odd"),
        pytest.param([EXHAUSTED], 1, {}, GiveUp(EXHAUSTED, "out_of_memory"), id="one-is-the-least"),
        pytest.param([EXHAUSTED], None, {}, GiveUp(EXHAUSTED, "out_of_memory"), id="before-the-first-step"),
        pytest.param(
            [EXHAUSTED], 2, {"out_of_memory": 5}, GiveUp(EXHAUSTED, "out_of_memory", 5), id="halved-too-often"
        ),
        pytest.param([LONELY, DEAD], 8, {}, Restart("infrastructure", 0.0, failure=DEAD), id="dead"),
        pytest.param(
            [DEAD], 8, {"infrastructure": 4}, Restart("infrastructure", 40.0, failure=DEAD), id="dead-again-and-again"
        ),
        pytest.param([DEAD], 8, {"infrastructure": 5}, GiveUp(DEAD, "infrastructure", 5), id="dead-too-often"),
        pytest.param(
            [DEAD],
            8,
            {"hang": 3, "data": 1},
            Restart("infrastructure", 0.0, failure=DEAD),
            id="others-have-spent-theirs",
        ),
        pytest.param([HUNG], 8, {"hang": 1}, Restart("hang", 5.0, failure=HUNG), id="hang"),
        pytest.param([BAD_SAMPLES], 8, {}, GiveUp(BAD_SAMPLES, "data"), id="bad-samples"),
        pytest.param([NOT_FINITE], 8, {}, GiveUp(NOT_FINITE, "numerical"), id="not-finite"),
        pytest.param([MISTAKE], 8, {}, GiveUp(MISTAKE, "user"), id="mistake"),
        pytest.param([FENCED], 8, {}, GiveUp(FENCED, "user"), id="run-is-driven-elsewhere"),
        pytest.param([REFUSED], 8, {}, GiveUp(REFUSED, "infrastructure"), id="storage-was-waited-for-already"),
        pytest.param([], 8, {}, Restart("infrastructure", 0.0), id="nobody-could-say"),
    ],
)
def test_decides(
    failures: list[FailureRecord], micro_batch_size: int | None, spent: dict[FailureClass, int], expected: Decision
) -> None:
    assert decide(failures, spent=spent, budgets=FailuresSpec(), micro_batch_size=micro_batch_size) == expected


@pytest.mark.parametrize(
    ("failures", "num_spent", "expected"),
    [
        pytest.param([], 0, Restart("preemption", 0.0), id="all-saved-and-ended"),
        pytest.param([LONELY, DEAD], 99, Restart("preemption", 0.0, failure=DEAD), id="gone-before-the-end"),
        pytest.param([], 100, GiveUp(None, "preemption", 100), id="too-often"),
    ],
)
def test_decides_when_preempted(failures: list[FailureRecord], num_spent: int, expected: Decision) -> None:
    decision = decide(
        failures, spent={"preemption": num_spent}, budgets=FailuresSpec(), micro_batch_size=8, is_preempted=True
    )

    assert decision == expected


@pytest.mark.parametrize(
    ("backoff_s", "num_spent", "expected"),
    [(5.0, 0, 0.0), (5.0, 1, 5.0), (5.0, 2, 10.0), (5.0, 7, 300.0), (0.0, 50, 0.0), (1.0, 9_999, 300.0)],
)
def test_the_first_restart_is_at_once_and_each_later_one_waits_twice_as_long(
    backoff_s: float, num_spent: int, expected: float
) -> None:
    budgets = FailuresSpec(infrastructure=InfrastructureBudgetSpec(retries=10_000, backoff_s=backoff_s))

    decision = decide([DEAD], spent={"infrastructure": num_spent}, budgets=budgets, micro_batch_size=None)

    assert decision == Restart("infrastructure", expected, failure=DEAD)


def test_of_workers_that_hang_the_one_that_came_least_far_is_to_blame() -> None:
    waiting, behind = (HUNG.model_copy(update={"rank": rank, "num_marks": marks}) for rank, marks in ((0, 9), (1, 7)))

    decision = decide([waiting, behind], spent={}, budgets=FailuresSpec(), micro_batch_size=8)

    assert decision == Restart("hang", 0.0, failure=behind)


def test_a_budget_of_the_document_counts() -> None:
    budgets = FailuresSpec(data=DataBudgetSpec(retries=0))

    assert decide([BAD_SAMPLES], spent={}, budgets=budgets, micro_batch_size=8) == GiveUp(BAD_SAMPLES, "data")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param("started hang hang infrastructure", {"hang": 2, "infrastructure": 1}, id="each-by-itself"),
        pytest.param("hang started evaluated hang", {"hang": 2}, id="others-between"),
        pytest.param("hang checkpoint infrastructure", {"infrastructure": 1}, id="checkpoint"),
        pytest.param("hang checkpoint", {}, id="checkpoint-last"),
        pytest.param("hang failed resumed hang", {"hang": 1}, id="started-again-by-a-person"),
        pytest.param("hang stopped", {}, id="stopped-by-a-person"),
    ],
)
def test_spent(kinds: str, expected: dict[FailureClass, int]) -> None:
    classes = get_args(FailureClass)
    events = [
        Event(kind="restarted", at=START, fields={"reason": kind}) if kind in classes else Event(kind=kind, at=START)
        for kind in kinds.split()
    ]

    assert attempts.spent(events) == expected


@pytest.mark.parametrize(
    ("fitting", "smallest", "largest", "expected"),
    [
        pytest.param(4, 4, 4, 4, id="all"),
        pytest.param(9, 4, 4, 4, id="more-than-wanted"),
        pytest.param(3, 4, 4, None, id="not-elastic"),
        pytest.param(3, 1, 4, 3, id="fewer"),
        pytest.param(1, 1, 4, 1, id="fewest"),
        pytest.param(1, 2, 4, None, id="too-few"),
        pytest.param(0, 1, 4, None, id="none"),
    ],
)
def test_num_workers(fitting: int, smallest: int, largest: int, expected: int | None) -> None:
    assert attempts.num_workers(fitting=fitting, smallest=smallest, largest=largest) == expected


def _error(failure: FailureRecord | None, reason: FailureClass = "fault", retries: int = 0) -> errors.EaglerayError:
    return error_of(GiveUp(failure, reason, retries), traceback_place="/runs/x/failures/1.txt")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("DataError", errors.DataError),
        ("BadSamples", errors.BadSamples),
        ("DocumentError", errors.UserError),
        ("StorageError", errors.StorageError),
        ("LeaseLost", errors.StorageError),
        ("ObjectMissing", errors.StorageError),
        ("ClusterError", errors.ClusterError),
        ("NotFinite", errors.NotFinite),
        ("KeyError", errors.TrainingError),
        ("OutOfMemory", errors.OutOfMemory),
        ("WorkerDied", errors.TrainingError),
        ("Hang", errors.TrainingError),
        ("Finding", errors.TrainingError),
    ],
)
def test_error_keeps_its_class(kind: str, expected: type[Exception]) -> None:
    error = _error(_failure(kind))

    assert type(error) is expected
    assert "it broke" in str(error)


def test_error_of_a_fault_names_its_traceback() -> None:
    error = _error(FAULT)

    assert str(error) == "worker 0: KeyError: it broke\nits traceback: /runs/x/failures/1.txt"
    assert error.exit_code == 1


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        (0, "worker 1: WorkerDied: it broke"),
        (1, "it was started again once without a new checkpoint (failures.infrastructure.retries)"),
        (5, "it was started again 5 times without a new checkpoint (failures.infrastructure.retries)"),
    ],
)
def test_error_says_how_often_it_was_tried_again(retries: int, expected: str) -> None:
    lines = str(_error(DEAD, "infrastructure", retries)).splitlines()

    assert expected in lines
    assert len(lines) == (4 if retries else 3)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("preemption", "the nodes of the workers were taken away"), ("infrastructure", attempts.WHY_GONE)],
)
def test_error_where_no_worker_could_say(reason: FailureClass, expected: str) -> None:
    error = _error(None, reason, 5)

    assert type(error) is errors.ClusterError
    assert str(error).startswith(f"{expected}\nit was started again 5 times")
