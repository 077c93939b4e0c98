"""What are the canonical rows of a source? Read, checked and written to an Arrow file; a few facts stay in memory."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from eagleray.data import arrow, parallel
from eagleray.data.encoder import Row
from eagleray.data.formats import SourceRow
from eagleray.data.keep import Keep
from eagleray.data.reading import Changes, Problems, Reader, ReadRows
from eagleray.data.wording import did_you_mean, listed
from eagleray.errors import DataError

BATCH_ROWS = 1_000
BATCH_CHARS = 4 * 2**20
"""A batch is written when it reaches either: long texts must not make it large."""


@dataclass(frozen=True, slots=True)
class RowFacts:
    """The rows of one source that were written, 15 bytes each."""

    path: Path
    num_dropped: int  # by `keep`
    identities: np.ndarray  # (rows,) uint64: a hash of the input
    combinations: np.ndarray  # (rows,) int32: which of `label_sets` a row has
    label_sets: tuple[tuple[str, ...], ...]
    languages: np.ndarray  # (rows,) int16: which of `language_names` a row has
    language_names: tuple[str, ...]
    unfit: np.ndarray  # (rows,) int8: why nothing is to be learned from a row, of `reading.UNFIT`
    signatures: Path | None  # for `likeness`, row by row
    problems: Problems
    changes: Changes

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
    reader: Reader,
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
    _check_columns(first, reader=reader, keep=keep)
    kept = Keep(keep)
    with _Collector(path, signs=reader.signs) as collect:
        for read in parallel.in_order(reader, _batches(chain([first], source_rows), kept, columns=tuple(keep))):
            collect.add(read)
            on_rows(len(collect))
    kept.check()
    return collect.facts(num_dropped=kept.num_dropped)


def iterate(path: Path, numbers: np.ndarray, *, batch_rows: int = BATCH_ROWS) -> Iterator[list[Row]]:
    """Yield the rows of these ascending numbers in batches, reading the file once from front to back."""
    for batch in stored(path, numbers, batch_rows=batch_rows):
        yield [json.loads(text) for text, _ in batch]


def stored(path: Path, numbers: np.ndarray, *, batch_rows: int = BATCH_ROWS) -> Iterator[list[tuple[str, str]]]:
    """Yield (row as JSON, place) likewise. A number may come several times in a row."""
    pending: list[tuple[str, str]] = []
    start = 0
    for batch in arrow.stream(path):
        low, high = np.searchsorted(numbers, [start, start + batch.num_rows])
        taken = batch.take(pa.array(numbers[low:high] - start))
        pending += zip(taken.column("row").to_pylist(), taken.column("place").to_pylist(), strict=True)
        start += batch.num_rows
        while len(pending) >= batch_rows:
            yield pending[:batch_rows]
            pending = pending[batch_rows:]
    if pending:
        yield pending


class _Collector:
    """Canonical rows on their way to the file. A context manager: the file is whole when it is left."""

    def __init__(self, path: Path, *, signs: bool) -> None:
        self._path, self._writer = path, arrow.Writer(path)
        self._signatures_path = path.with_suffix(".signatures") if signs else None
        self._problems, self._changes = Problems(), Changes()
        self._identities, self._combinations = array("Q"), array("i")
        self._languages, self._unfit = array("h"), array("b")
        self._label_sets: dict[tuple[str, ...], int] = {}
        self._language_names: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._identities)

    def __enter__(self) -> _Collector:
        self._writer.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.__exit__(*exception)

    def add(self, read: ReadRows) -> None:
        self._problems.extend(read.problems)
        self._changes.extend(read.changes)
        if not read.texts:
            return
        self._identities.extend(read.identities)
        self._unfit.extend(read.unfit)
        self._combinations.extend(self._label_sets.setdefault(each, len(self._label_sets)) for each in read.labels)
        names = self._language_names
        self._languages.extend(names.setdefault(each, len(names)) for each in read.languages)
        columns = {"row": pa.array(read.texts, pa.string()), "place": pa.array(read.places, pa.string())}
        self._writer.write(pa.RecordBatch.from_pydict(columns))
        if self._signatures_path is not None and read.signatures is not None:
            with self._signatures_path.open("ab") as file:
                file.write(read.signatures.tobytes())

    def facts(self, *, num_dropped: int) -> RowFacts:
        return RowFacts(
            path=self._path,
            num_dropped=num_dropped,
            identities=_numbers(self._identities, np.uint64),
            combinations=_numbers(self._combinations, np.int32),
            label_sets=tuple(self._label_sets),
            languages=_numbers(self._languages, np.int16),
            language_names=tuple(self._language_names),
            unfit=_numbers(self._unfit, np.int8),
            signatures=self._signatures_path if len(self) else None,
            problems=self._problems,
            changes=self._changes,
        )


def _batches(source_rows: Iterable[SourceRow], kept: Keep, *, columns: tuple[str, ...]) -> Iterator[list[SourceRow]]:
    """The rows that stay, as many together as one process takes at once."""
    batch: list[SourceRow] = []
    num_chars = 0
    for source_row in source_rows:
        # A row without the column is handed on: the reader says what it lacks.
        if all(column in source_row.raw for column in columns) and not kept.has(source_row.raw):
            continue
        batch.append(source_row)
        num_chars += sum(len(value) if isinstance(value, str) else len(str(value)) for value in source_row.raw.values())
        if len(batch) >= BATCH_ROWS or num_chars >= BATCH_CHARS:
            yield batch
            batch, num_chars = [], 0
    if batch:
        yield batch


def _numbers(values: array[int], dtype: npt.DTypeLike) -> np.ndarray:
    return np.frombuffer(values, dtype=dtype) if values else np.empty(0, dtype)


def _check_columns(first: SourceRow, *, reader: Reader, keep: Mapping[str, Collection[str]]) -> None:
    languages = () if reader.language is None else (reader.language,)
    asked = {"spec.task": reader.task.columns, "spec.data.keep": tuple(keep), "spec.data.language": languages}
    for key, columns in asked.items():
        for column in columns:
            if column not in first.raw:
                raise DataError(
                    f"{first.place}: no column {column!r}, which {key} asks for{did_you_mean(column, first.raw)}; "
                    f"the columns here are {listed(list(first.raw), limit=20)}: name the right one in {key}"
                )
