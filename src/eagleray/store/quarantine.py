"""Which training samples could not be used, and why: one line of JSON a sample."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import AwareDatetime

from eagleray.store import paths
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Record


class QuarantineRecord(Record):
    """A sample that raised twice."""

    index: int
    place: str  # "reviews.jsonl:17"
    error: str
    step: int
    at: AwareDatetime


def add(objects: Objects, run: str, records: Iterable[QuarantineRecord]) -> None:
    """Add samples, each once."""
    known = {record.index: record for record in [*records, *read(objects, run)]}
    lines = [record.model_dump_json() for _, record in sorted(known.items())]
    objects.put(paths.quarantine(run), "\n".join([*lines, ""]).encode())


def read(objects: Objects, run: str) -> list[QuarantineRecord]:
    """All of them, by sample."""
    try:
        lines = objects.read(paths.quarantine(run)).splitlines()
    except ObjectMissing:
        return []
    return [QuarantineRecord.model_validate_json(line) for line in lines]
