"""The figures of each step: closed segments of JSON lines, since object storage cannot append."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pydantic_core import to_json

from eagleray.errors import StorageError
from eagleray.store import paths
from eagleray.store.objects import Objects

_CONCURRENT_READS = 8  # ten hours of training are some thousand segments, and on S3 reading is mostly waiting


class StepLog:
    """Collects an attempt's records and writes them as segments. Each record has a "step"."""

    def __init__(self, objects: Objects, run: str, *, lease: int) -> None:
        self._objects, self._run, self._lease = objects, run, lease
        self._lines: list[bytes] = []
        self._number = 1  # of the next segment

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record until the next flush. A number that is not finite is written as null."""
        self._lines.append(to_json(record, inf_nan_mode="null"))

    def flush(self) -> None:
        """Write what was added as one new segment. After a StorageError it is still there for the next flush."""
        if not self._lines:
            return
        segment = b"\n".join(self._lines) + b"\n"
        # An answer that was lost leaves a segment that the next one, which begins with the same step, replaces.
        while not self._objects.create(paths.steps(self._run, self._lease, self._number), segment):
            self._number += 1
        self._number += 1
        self._lines = []


def read_steps(objects: Objects, run: str) -> list[dict[str, Any]]:
    """All records in the order of their steps, each step once.

    A run that was killed goes on from its last checkpoint and does some steps again: a segment replaces what earlier
    segments said about later steps, and what they said about its own first step in records of the same keys. Segments
    are in the order of their attempts: what an attempt that was taken for dead wrote late is replaced all the same.
    """
    return Reader(objects, run).all()


class Reader:
    """Reads each segment once: they never change."""

    def __init__(self, objects: Objects, run: str) -> None:
        self._objects, self._run = objects, run
        self._segments: dict[str, list[dict[str, Any]]] = {}

    def all(self) -> list[dict[str, Any]]:
        """What `read_steps` returns, as it is now."""
        keys = [info.key for info in self._objects.list(paths.steps_folder(self._run))]
        new = [key for key in keys if key not in self._segments]
        with ThreadPoolExecutor(_CONCURRENT_READS) as threads:
            self._segments |= zip(new, threads.map(partial(_read, self._objects), new), strict=True)
        records: list[dict[str, Any]] = []
        for key in keys:
            _replace_end(records, self._segments[key])
        return records


def _replace_end(records: list[dict[str, Any]], segment: list[dict[str, Any]]) -> None:
    """Put a segment where it belongs: at the end, in place of what it says again."""
    step = segment[0]["step"]
    again = [record.keys() for record in segment if record["step"] == step]
    kept = []
    while records and records[-1]["step"] >= step:
        record = records.pop()
        if record["step"] == step and record.keys() not in again:
            kept.append(record)
    records += [*reversed(kept), *segment]


def _read(objects: Objects, key: str) -> list[dict[str, Any]]:
    try:
        records = [json.loads(line) for line in objects.read(key).splitlines()]
        if records and all(isinstance(record, dict) and isinstance(record.get("step"), int) for record in records):
            return records
    except ValueError as error:
        raise _damaged(objects, key) from error
    raise _damaged(objects, key)


def _damaged(objects: Objects, key: str) -> StorageError:
    return StorageError(f"{objects.uri}: the step figures {key} are damaged: restore the file or delete it")
