"""What did a teacher say of rows without a label? Beside its run: the rows for its student, and a report on them."""

from __future__ import annotations

from eagleray.store import paths, records
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Record


class TeachingRecord(Record):
    """How many rows a teacher has labelled, and how right it is where the label is known."""

    teacher: str
    round: int  # the first student's is 1
    num_labelled: int  # rows with a true label that the student learns from
    num_unlabelled: int
    num_sure: int  # of those, above the threshold of their label
    num_added: dict[str, int]  # by label
    thresholds: dict[str, float]
    num_held_out: int  # rows of the validation split
    num_held_out_sure: int
    held_out_accuracy: float | None  # of those; None where there are none


def put(objects: Objects, key: str, record: TeachingRecord) -> None:
    """Write the report: it comes last, and makes the rows beside it count."""
    objects.put(f"{paths.teaching(record.teacher, key)}/teaching.json", records.dump(record))


def read(objects: Objects, teacher: str, key: str) -> TeachingRecord | None:
    """The report; None where the teacher has not labelled these rows, or not to the end."""
    try:
        return records.load(objects, f"{paths.teaching(teacher, key)}/teaching.json", TeachingRecord)
    except ObjectMissing:
        return None
