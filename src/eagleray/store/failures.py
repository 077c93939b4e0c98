"""Why a worker failed: facts for the driver, and the traceback as a text that people open."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from eagleray.store import paths
from eagleray.store.objects import Objects

WORKER_DIED = "WorkerDied"
"""The kind of a failure that the driver wrote down, because the worker no longer could."""
NO_ANSWER = "NoAnswer"
"""The same of a worker whose process is there and does nothing."""


class FailureRecord(BaseModel):
    """One worker's exception."""

    model_config = ConfigDict(frozen=True)

    attempt: int  # the number of its lease
    rank: int
    kind: str  # the exception's class, or OutOfMemory
    message: str
    traceback: str
    num_marks: int | None = None  # of a worker that hung: how far it came
    at: datetime


def write(objects: Objects, run: str, record: FailureRecord) -> None:
    """Write facts and traceback. Of several records of one worker the first counts: the others are consequences."""
    key = paths.failure(run, record.attempt, record.rank)
    if objects.create(f"{key}.json", record.model_dump_json(indent=2).encode()):
        objects.put(f"{key}.txt", record.traceback.encode())


def of_attempt(objects: Objects, run: str, attempt: int) -> list[FailureRecord]:
    """Return the failures of one attempt, the earliest first: what failed later often only lost its peer."""
    keys = [info.key for info in objects.list(paths.failures(run)) if info.key.endswith(".json")]
    records = [FailureRecord.model_validate_json(objects.read(key)) for key in keys]
    return sorted((record for record in records if record.attempt == attempt), key=lambda record: record.at)


def traceback_place(objects: Objects, run: str, record: FailureRecord) -> str:
    """Return where a person finds the traceback."""
    return f"{objects.uri.rstrip('/')}/{paths.failure(run, record.attempt, record.rank)}.txt"
