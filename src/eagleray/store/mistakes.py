"""Which rows of a split is a model most wrong about? Beside the run's record, since it holds texts of the data."""

from __future__ import annotations

from eagleray.store import paths, records
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Record

KEPT = 50
"""So many rows of a split."""
MAX_CHARACTERS = 600
"""Of a text, so many."""


class Mistake(Record):
    """A row with a high loss; it may yet be answered rightly."""

    index: int
    place: str
    """Where the row came from: "reviews.jsonl:17"."""
    text: str
    loss: float
    label: str = ""
    answer: str = ""
    """What the model said; empty where the task has no such thing."""
    is_wrong: bool = True
    label_probability: float | None = None
    answer_probability: float | None = None


class MistakesRecord(Record):
    """The rows of the highest loss, the highest first, by the model of one step."""

    split: str
    step: int
    num_rows: int
    mistakes: tuple[Mistake, ...] = ()


def put(objects: Objects, run: str, record: MistakesRecord) -> None:
    """Write those of a split, replacing what was said before."""
    objects.put(paths.mistakes(run, record.split), records.dump(record))


def read(objects: Objects, run: str, split: str) -> MistakesRecord | None:
    """Those of a split; None where nothing was written down."""
    try:
        return records.load(objects, paths.mistakes(run, split), MistakesRecord)
    except ObjectMissing:
        return None
