"""What are the samples of a split? Tokenised once into an Arrow file, then read by number through a memory map."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from eagleray.data import arrow
from eagleray.data.encoder import Row, Sample
from eagleray.data.rows import StoredRows, iterate
from eagleray.errors import DataError

Encode = Callable[[list[Row]], dict[str, list[Any]]]
"""Rows to the columns of `Encoder.encode`."""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What tokenising told about a split, to be checked."""

    full_lengths: np.ndarray  # (samples,) int32, before the cut
    num_without_targets: int  # samples that nothing can be learned from: their targets were cut off


class TokenizedSplit:
    """The samples of one split, in the order of its rows.

    Opens files and holds 4 bytes a sample. Pickles as its path: another process opens the same files.
    """

    def __init__(
        self, directory: Path, *, name: str, source: str, columns: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Open split `name` of a cache entry, whose rows came from the rows of split `source`.

        `columns` holds numbers that samples are given beside what the files hold, (samples,) each.
        """
        self._directory, self._name, self._source = directory, name, source
        self._columns = dict(columns or {})
        self.lengths: np.ndarray = np.load(_lengths_path(directory, name))
        """(samples,) int32: tokens after the cut."""
        self._batches = arrow.Batches(_tokens_path(directory, name))
        self._views: dict[int, list[tuple[str, _View]]] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._directory, self._name, self._source, self._columns)

    def with_columns(self, columns: Mapping[str, np.ndarray]) -> TokenizedSplit:
        """Return the same samples with a number more of each column: (samples,)."""
        return _reopened(self._directory, self._name, self._source, {**self._columns, **columns})

    def samples(self, indices: np.ndarray) -> list[Sample]:
        """Return samples by number; lists are read-only numpy views of the file, numbers are Python's.

        Each says its own number as "index", so that what is done with a sample can be told afterwards.
        """
        indices = np.asarray(indices)
        batches, within = self._batches.find(indices)
        return [
            {"index": index}
            | {column: view(row) for column, view in self._views_of(batch)}
            | {column: values[index].item() for column, values in self._columns.items()}
            for index, batch, row in zip(indices.tolist(), batches.tolist(), within.tolist(), strict=True)
        ]

    def row(self, index: int) -> Row:
        """Return the canonical row that sample `index` was made from."""
        return self._rows.row(int(self._numbers[index]))

    def place(self, index: int) -> str:
        """Return where the row of sample `index` came from: "reviews.jsonl:17"."""
        return self._rows.place(int(self._numbers[index]))

    @cached_property
    def _rows(self) -> StoredRows:
        return StoredRows(rows_path(self._directory, self._source))

    @cached_property
    def _numbers(self) -> np.ndarray:
        numbers: np.ndarray = np.load(_numbers_path(self._directory, self._name), mmap_mode="r")
        return numbers

    def _views_of(self, batch: int) -> list[tuple[str, _View]]:
        views = self._views.get(batch)
        if views is None:
            record = self._batches.read(batch)
            views = [(name, _view(record.column(name))) for name in record.schema.names]
            self._views[batch] = views
        return views


def write_split(
    directory: Path, *, name: str, source: str, numbers: np.ndarray, encode: Encode, on_rows: Callable[[int], None]
) -> TokenFacts:
    """Tokenise rows `numbers`, ascending, of `source` into the files that `TokenizedSplit` opens.

    `on_rows(done)` is called after each batch.

    Raises:
        DataError: a row cannot be encoded; names its place.
    """
    path = rows_path(directory, source)
    lengths, full_lengths, made_of = array("i"), array("i"), array("i")
    done = 0  # rows
    num_without_targets = 0
    schema = None
    with arrow.Writer(_tokens_path(directory, name)) as writer:
        for rows in iterate(path, numbers):
            columns = _encoded(rows, encode, place=partial(_place, path, numbers[done:]))
            of_rows = np.asarray(columns.pop("row", range(len(rows))), dtype=np.int64)
            made_of.extend(numbers[done + of_rows].tolist())
            done += len(rows)
            if not columns["full_length"]:
                continue
            schema = schema or pa.schema([(column, _stored_type(values)) for column, values in columns.items()])
            writer.write(pa.RecordBatch.from_pydict(columns, schema=schema))
            lengths.extend(columns["length"] if "length" in columns else map(len, columns["input_ids"]))
            full_lengths.extend(columns["full_length"])
            num_without_targets += sum(not count for count in columns["num_targets"])
            on_rows(done)
    if not lengths:
        raise DataError(f"{name}: no row is long enough to become a sample")
    np.save(_lengths_path(directory, name), np.array(lengths, dtype=np.int32))
    np.save(_numbers_path(directory, name), np.array(made_of, dtype=np.int32))
    return TokenFacts(np.array(full_lengths, dtype=np.int32), num_without_targets)


def rows_path(directory: Path, source: str) -> Path:
    """Where the canonical rows of a source lie in a cache entry."""
    return directory / f"{source}.rows.arrow"


_View = Callable[[int], Any]


def _encoded(rows: list[Row], encode: Encode, *, place: Callable[[int], str]) -> dict[str, list[Any]]:
    """Encode a batch; if a row of it is refused, find out which."""
    try:
        return encode(rows)
    except ValueError as refusal:
        for number, row in enumerate(rows):
            try:
                encode([row])
            except ValueError as error:
                raise DataError(f"{place(number)}: {error}") from error
        raise DataError(f"{place(0)} or a row after it: {refusal}") from refusal


def _place(path: Path, numbers: np.ndarray, number: int) -> str:
    return StoredRows(path).place(int(numbers[number]))


def _reopened(directory: Path, name: str, source: str, columns: Mapping[str, np.ndarray]) -> TokenizedSplit:
    return TokenizedSplit(directory, name=name, source=source, columns=columns)


def _tokens_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.tokens.arrow"


def _lengths_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.lengths.npy"


def _numbers_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.numbers.npy"


def _stored_type(values: list[Any]) -> pa.DataType:
    """How a column is stored: as numpy says for arrays; Python's ints in 4 bytes."""
    kind = pa.array(values).type
    if pa.types.is_list(kind):
        return pa.list_(_narrow(kind.value_type))
    return _narrow(kind)


def _narrow(kind: pa.DataType) -> pa.DataType:
    is_wide = pa.types.is_int64(kind) or pa.types.is_null(kind)  # null: the first batch has empty lists only
    return pa.int32() if is_wide else kind


def _view(column: Any) -> _View:
    """How to get one value of a column of a record batch without copying it."""
    if pa.types.is_list(column.type) and _is_viewable(column.type.value_type):
        starts = column.offsets.to_numpy()
        values = column.values.to_numpy()
        return lambda row: values[starts[row] : starts[row + 1]]
    if _is_viewable(column.type):
        numbers = column.to_numpy()
        return lambda row: numbers[row].item()
    return lambda row: column[row].as_py()


def _is_viewable(kind: pa.DataType) -> bool:
    """Whether numpy can view values of this type in place; truths are packed into bits."""
    return bool(pa.types.is_primitive(kind)) and not pa.types.is_boolean(kind)
