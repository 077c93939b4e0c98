"""What are the canonical rows of a source? Read, checked and written to an Arrow file; a few facts stay in memory."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from eagleray.data import arrow
from eagleray.data.encoder import Encoder, Row
from eagleray.data.formats import SourceRow
from eagleray.data.keep import Keep
from eagleray.data.wording import did_you_mean, listed
from eagleray.errors import DataError

BATCH_ROWS = 1_000
BATCH_CHARS = 4 * 2**20
"""A batch is written when it reaches either: long texts must not make it large."""

MAX_EXAMPLES = 5


@dataclass(slots=True)
class Problems:
    """What is wrong with the rows of one source: how many rows, and the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, place: str, message: str) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{place}: {message}")


@dataclass(frozen=True, slots=True)
class RowFacts:
    """The rows of one source that were written, 12 bytes each."""

    path: Path
    num_dropped: int  # by `keep`
    identities: np.ndarray  # (rows,) uint64: a hash of the input
    combinations: np.ndarray  # (rows,) int32: which of `label_sets` a row has
    label_sets: tuple[tuple[str, ...], ...]
    problems: Problems

    def __len__(self) -> int:
        return len(self.identities)


class StoredRows:
    """The rows of a file by number, through a memory map."""

    def __init__(self, path: Path) -> None:
        self._batches = arrow.Batches(path)

    def __len__(self) -> int:
        return len(self._batches)

    def row(self, number: int) -> Row:
        return dict(json.loads(self._value("row", number)))

    def place(self, number: int) -> str:
        """Where the row came from: "reviews.jsonl:17"."""
        return self._value("place", number)

    def _value(self, column: str, number: int) -> str:
        batch, within = self._batches.find(np.array([number]))
        return str(self._batches.read(int(batch[0])).column(column)[int(within[0])].as_py())


def write_rows(
    source_rows: Iterator[SourceRow],
    *,
    task: Encoder,
    keep: Mapping[str, Collection[str]],
    path: Path,
    on_rows: Callable[[int], None],
) -> RowFacts:
    """Read, filter and check rows and write them to `path`; rows with a problem are left out and counted.

    `on_rows(done)` is called after each batch.

    Raises:
        DataError: the first row lacks a column, or a value of `keep` occurs nowhere.
    """
    first = next(source_rows)
    _check_columns(first, task=task, keep=keep)
    kept = Keep(keep)
    collect = _Collector(path, task=task, on_rows=on_rows)
    with collect.writer:
        for source_row in chain([first], source_rows):
            missing = [column for column in (*keep, *task.columns) if column not in source_row.raw]
            if missing:
                collect.problems.add(source_row.place, f"no {' and no '.join(map(repr, missing))}")
            elif kept.has(source_row.raw):
                collect.add(source_row)
        collect.flush()
    kept.check()
    return collect.facts(num_dropped=kept.num_dropped)


def iterate(path: Path, numbers: np.ndarray, *, batch_rows: int = BATCH_ROWS) -> Iterator[list[Row]]:
    """Yield the rows of these ascending numbers in batches, reading the file once from front to back."""
    pending: list[Row] = []
    start = 0
    for batch in arrow.stream(path):
        low, high = np.searchsorted(numbers, [start, start + batch.num_rows])
        texts = batch.column("row").take(pa.array(numbers[low:high] - start)).to_pylist()
        pending += map(json.loads, texts)
        start += batch.num_rows
        while len(pending) >= batch_rows:
            yield pending[:batch_rows]
            pending = pending[batch_rows:]
    if pending:
        yield pending


class _Collector:
    """Canonical rows on their way to the file."""

    def __init__(self, path: Path, *, task: Encoder, on_rows: Callable[[int], None]) -> None:
        self.writer = arrow.Writer(path)
        self.problems = Problems()
        self._path = path
        self._task = task
        self._on_rows = on_rows
        self._file_columns = getattr(task, "file_columns", ())
        self._known = frozenset(task.labels)
        self._identities = array("Q")
        self._combinations = array("i")
        self._numbers: dict[tuple[str, ...], int] = {}
        self._texts: list[str] = []
        self._places: list[str] = []
        self._chars = 0

    def add(self, source_row: SourceRow) -> None:
        try:
            row = self._task.read(source_row.located(self._file_columns))
            labels = self._task.labels_of(row)
            self._check_labels(labels)
            text = json.dumps(row, ensure_ascii=False)
            identity = _hash(self._task.identity(row))
            text.encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            self.problems.add(source_row.place, f"{half} is half of a character (a lone surrogate): repair the text")
            return
        except ValueError as error:
            self.problems.add(source_row.place, str(error))
            return
        self._identities.append(identity)
        self._combinations.append(self._numbers.setdefault(labels, len(self._numbers)))
        self._texts.append(text)
        self._places.append(source_row.place)
        self._chars += len(text)
        if len(self._texts) >= BATCH_ROWS or self._chars >= BATCH_CHARS:
            self.flush()

    def flush(self) -> None:
        if self._texts:
            columns = {"row": pa.array(self._texts, pa.string()), "place": pa.array(self._places, pa.string())}
            self.writer.write(pa.RecordBatch.from_pydict(columns))
        self._texts, self._places, self._chars = [], [], 0
        self._on_rows(len(self._identities))

    def facts(self, *, num_dropped: int) -> RowFacts:
        return RowFacts(
            path=self._path,
            num_dropped=num_dropped,
            identities=np.frombuffer(self._identities, dtype=np.uint64) if self._identities else np.empty(0, np.uint64),
            combinations=np.frombuffer(self._combinations, dtype=np.int32)
            if self._combinations
            else np.empty(0, np.int32),
            label_sets=tuple(self._numbers),
            problems=self.problems,
        )

    def _check_labels(self, labels: tuple[str, ...]) -> None:
        for label in labels:
            if self._known and label not in self._known:
                raise ValueError(
                    f"label {label!r} is not in task.labels ({', '.join(self._task.labels)})"
                    + did_you_mean(label, self._task.labels)
                )


def _check_columns(first: SourceRow, *, task: Encoder, keep: Mapping[str, Collection[str]]) -> None:
    for columns, key in ((task.columns, "spec.task"), (tuple(keep), "spec.data.keep")):
        for column in columns:
            if column not in first.raw:
                raise DataError(
                    f"{first.place}: no column {column!r}, which {key} asks for{did_you_mean(column, first.raw)}; "
                    f"the columns here are {listed(list(first.raw), limit=20)}: name the right one in {key}"
                )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
