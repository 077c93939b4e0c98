"""Which workers failed without writing down why, as far as Ray Train knows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from eagleray.store.failures import WORKER_DIED, FailureRecord


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


def _kind(error: Exception) -> str:
    if isinstance(_cause(error), OutOfMemoryError):  # Ray's memory monitor killed it before the system would have
        return "OutOfMemory"
    return WORKER_DIED if _is_death(error) else type(error).__name__


def _is_death(error: Exception) -> bool:
    return isinstance(_cause(error), RayActorError)


def _cause(error: Exception) -> Exception:
    return error.health_check_failure if isinstance(error, WorkerHealthCheckFailedError) else error


def _message(error: Exception) -> str:
    """Who it was, by Ray's text about a dead worker; of anything else the last line."""
    text = str(error)
    if not _is_death(error):
        return text.strip().splitlines()[-1] if text.strip() else repr(error)
    pid, address = re.search(r"pid[=:]\s*(\d+)", text), re.search(r"(?:\b|_)ip[=:]\s*'?([\w.:]+)", text)
    who = (f"process {pid[1]}" if pid else "its process") + (f" on {address[1]}" if address else "")
    return f"{who} was killed or crashed"
