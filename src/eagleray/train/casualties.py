"""Which workers failed, as they have written down themselves or as Ray Train knows?"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError, RayError
from ray.train import ControllerError, TrainingFailedError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)

from eagleray.errors import ClusterError, StorageError
from eagleray.store import failures
from eagleray.store.failures import NO_ANSWER, WORKER_DIED, FailureRecord
from eagleray.store.objects import Objects


def found(
    objects: Objects, run: str, attempt: int, error: TrainingFailedError | RayError, *, now: datetime
) -> list[FailureRecord]:
    """What ended an attempt, the cause first: a worker that was killed, before those that then lost their peer.

    What no worker has told itself is written down.
    """
    told = failures.of_attempt(objects, run, attempt)
    unheard = silent(_worker_failures(error), told={failure.rank for failure in told}, attempt=attempt, now=now)
    for failure in unheard:
        failures.write(objects, run, failure)
    return [*unheard, *told]


def silent(
    worker_failures: Mapping[int, Exception], *, told: Collection[int], attempt: int, now: datetime
) -> list[FailureRecord]:
    """Return a record for each rank of Ray Train's `worker_failures` but those that have `told` themselves."""
    return [
        FailureRecord(
            attempt=attempt, rank=rank, kind=_kind(error), message=_message(error), traceback=str(error), at=now
        )
        for rank, error in sorted(worker_failures.items())
        if rank not in told
    ]


def said(failure: FailureRecord | None) -> str | None:
    """Return who failed, and of what."""
    if failure is None:
        return None
    if failure.kind == ClusterError.__name__:  # no worker's
        return failure.message
    return f"worker {failure.rank}: {failure.message}"


def have_given_up_storage(error: TrainingFailedError | RayError) -> bool:
    """Whether a worker has waited for the storage as long as makes sense."""
    failed = _worker_failures(error).values()
    return any(isinstance(getattr(each, "_base_exc", each), StorageError) for each in failed)


def died_at_start(error: ControllerError) -> bool:
    """Whether workers that had a place died before they began; otherwise there was no place."""
    return isinstance(error.controller_failure, WorkerGroupStartupFailedError)


def hang_facts(failures: Sequence[FailureRecord], *, num_workers: int) -> dict[str, Any]:
    """Return, for the event about a hang, which workers could not answer and which fell behind first; else nothing."""
    answers = {failure.rank: failure for failure in failures if failure.num_marks is not None}
    silent = [failure.rank for failure in failures if failure.kind == NO_ANSWER]
    if answers:
        silent = [rank for rank in range(num_workers) if rank not in answers]
    if not (answers or silent):
        return {}
    behind = silent[0] if silent else min(answers, key=lambda rank: (answers[rank].num_marks or 0, rank))
    return {"first_behind": behind, "without_answer": silent}


def _worker_failures(error: TrainingFailedError | RayError) -> Mapping[int, Exception]:
    return getattr(error, "worker_failures", {})


def _kind(error: Exception) -> str:
    if isinstance(_cause(error), OutOfMemoryError):  # Ray's memory monitor killed it before the system would have
        return "OutOfMemory"
    if isinstance(error, WorkerHealthCheckTimeoutError):
        return NO_ANSWER
    return WORKER_DIED if _is_death(error) else type(getattr(error, "_base_exc", error)).__name__


def _is_death(error: Exception) -> bool:
    return isinstance(_cause(error), RayActorError)


def _cause(error: Exception) -> Exception:
    return error.health_check_failure if isinstance(error, WorkerHealthCheckFailedError) else error


def _message(error: Exception) -> str:
    """Who it was, by Ray's text about a worker that is dead or silent; of anything else the last line."""
    text, is_silent = str(error), isinstance(error, WorkerHealthCheckTimeoutError)
    if not (is_silent or _is_death(error)):
        return text.strip().splitlines()[-1] if text.strip() else repr(error)
    pid, address = re.search(r"pid[=:]\s*(\d+)", text), re.search(r"(?:\b|_)ip[=:]\s*'?([\w.:]+)", text)
    who = (f"process {pid[1]}" if pid else "its process") + (f" on {address[1]}" if address else "")
    return f"{who} {'cannot answer' if is_silent else 'was killed or crashed'}"
