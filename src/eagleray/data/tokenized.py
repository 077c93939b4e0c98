"""What are the samples of a split? Tokenised once into an Arrow file, then read by number through a memory map."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from eagleray.data import arrow, parallel
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
    numbers: np.ndarray  # (samples,) int32: of the row that each was made of


class Split(Protocol):
    """Samples by number, and the rows they were made from."""

    @property
    def lengths(self) -> np.ndarray:
        """(samples,) int32: tokens after the cut."""
        ...

    @property
    def languages(self) -> np.ndarray | None:
        """(samples,) int16: which language each sample is in; None where that is not known."""
        ...

    def __len__(self) -> int: ...

    def samples(self, indices: np.ndarray) -> list[Sample]:
        """The samples of these numbers, each with its own as "index"."""
        ...

    def row(self, index: int) -> Row:
        """The canonical row of a sample."""
        ...

    def place(self, index: int) -> str:
        """Where that row came from."""
        ...


class TokenizedSplit:
    """The samples of one split, in the order of its rows.

    Opens files and holds 4 bytes a sample. Pickles as its path: another process opens the same files.
    """

    def __init__(
        self, directory: Path, *, name: str, source: str, columns: Mapping[str, np.ndarray | Path] | None = None
    ) -> None:
        """Open split `name` of a cache entry, whose rows came from the rows of split `source`.

        `columns` are given to samples beside what the files hold, (samples, …) each; a path is a file of `numpy.save`.
        """
        self._directory, self._name, self._source = directory, name, source
        self._columns = dict(columns or {})
        self._more = {
            column: np.load(values, mmap_mode="r") if isinstance(values, Path) else values
            for column, values in self._columns.items()
        }
        self.lengths: np.ndarray = np.load(_lengths_path(directory, name))
        """(samples,) int32: tokens after the cut."""
        self._batches = arrow.Batches(_tokens_path(directory, name))
        self._views: dict[int, list[tuple[str, _View]]] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._directory, self._name, self._source, self._columns)

    @property
    def identity(self) -> str:
        """What tells these samples from any others: the key of their cache entry, and the split."""
        return f"{self._directory.name}/{self._name}"

    def with_columns(self, columns: Mapping[str, np.ndarray | Path]) -> TokenizedSplit:
        """Return the same samples with these columns more."""
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
            | {column: array[index] for column, array in self._more.items()}
            for index, batch, row in zip(indices.tolist(), batches.tolist(), within.tolist(), strict=True)
        ]

    def row(self, index: int) -> Row:
        """Return the canonical row that sample `index` was made from."""
        return self._rows.row(int(self._numbers[index]))

    def place(self, index: int) -> str:
        """Return where the row of sample `index` came from: "reviews.jsonl:17"."""
        return self._rows.place(int(self._numbers[index]))

    @cached_property
    def languages(self) -> np.ndarray | None:
        """(samples,) int16: which language each sample is in, of `Prepared.languages`; None where that is not known."""
        path = _languages_path(self._directory, self._name)
        return np.load(path) if path.exists() else None

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
        for num_rows, columns in _in_order(encode, path, numbers):
            of_rows = np.asarray(columns.pop("row", range(num_rows)), dtype=np.int64)
            made_of.extend(numbers[done + of_rows].tolist())
            done += num_rows
            if not columns["full_length"]:
                continue
            schema = schema or pa.schema([(column, _stored_type(values)) for column, values in columns.items()])
            writer.write(pa.RecordBatch.from_pydict(columns, schema=schema))
            lengths.extend(columns["length"] if "length" in columns else map(len, columns["input_ids"]))
            full_lengths.extend(columns["full_length"])
            num_without_targets += sum(not count for count in columns["num_targets"])
            on_rows(done)
    if not lengths:
        raise DataError(f"{name}: no row is long enough to become a sample: give longer texts, or join some in a row")
    np.save(_lengths_path(directory, name), np.array(lengths, dtype=np.int32))
    row_numbers = np.array(made_of, dtype=np.int32)
    np.save(_numbers_path(directory, name), row_numbers)
    return TokenFacts(np.array(full_lengths, dtype=np.int32), num_without_targets, row_numbers)


def write_languages(directory: Path, name: str, languages: np.ndarray) -> None:
    """Write which language each sample of a split is in."""
    np.save(_languages_path(directory, name), languages.astype(np.int16))


def rows_path(directory: Path, source: str) -> Path:
    """Where the canonical rows of a source lie in a cache entry."""
    return directory / f"{source}.rows.arrow"


_View = Callable[[int], Any]


class _Refused(Exception):
    """A row of a batch that cannot be encoded: its number there, and why."""


@dataclass(frozen=True, slots=True)
class _Encoding:
    """Encodes a batch; if a row of it is refused, finds out which."""

    encode: Encode

    def __call__(self, rows: list[Row]) -> tuple[int, dict[str, list[Any]]]:
        try:
            return len(rows), self.encode(rows)
        except ValueError as refusal:
            for number, row in enumerate(rows):
                try:
                    self.encode([row])
                except ValueError as error:
                    raise _Refused(number, str(error)) from error
            raise _Refused(0, f"or a row after it: {refusal}") from refusal


def _in_order(encode: Encode, path: Path, numbers: np.ndarray) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """How many rows each batch has, and its columns."""
    done = 0
    try:
        for num_rows, columns in parallel.in_order(_Encoding(encode), iterate(path, numbers)):
            yield num_rows, columns
            done += num_rows
    except _Refused as refusal:
        number, message = refusal.args
        raise DataError(f"{StoredRows(path).place(int(numbers[done + number]))}: {message}") from refusal


def _reopened(directory: Path, name: str, source: str, columns: Mapping[str, np.ndarray | Path]) -> TokenizedSplit:
    return TokenizedSplit(directory, name=name, source=source, columns=columns)


def _tokens_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.tokens.arrow"


def _lengths_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.lengths.npy"


def _numbers_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.numbers.npy"


def _languages_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.languages.npy"


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
    """How to get one value of a column of a record batch without copying it.

    By DLPack: `to_numpy` imports pandas, which takes a third of a second.
    """
    if pa.types.is_list(column.type) and _is_viewable(column.type.value_type):
        starts, values = np.from_dlpack(column.offsets), np.from_dlpack(column.values)
        return lambda row: values[starts[row] : starts[row + 1]]
    if _is_viewable(column.type):
        numbers = np.from_dlpack(column)
        return lambda row: numbers[row].item()
    return lambda row: column[row].as_py()


def _is_viewable(kind: pa.DataType) -> bool:
    """Whether numpy can view values of this type in place; truths are packed into bits."""
    return bool(pa.types.is_primitive(kind)) and not pa.types.is_boolean(kind)
