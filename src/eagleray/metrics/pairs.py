"""How are what a model says of each row and what is true kept for a metric that wants to see them all? In a file.

Any number of rows is held in 8 bytes each: where they begin. What is read is read row by row, in the order of the rows.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

BLOCK_BYTES = 2**20
"""How much travels from a rank to the first one at a time."""


class Writer:
    """Takes what one rank sees, in any order."""

    def __init__(self, file: Path) -> None:
        self._path, self._file = file, file.open("wb")

    def add(self, index: int, said: Any, true: Any) -> None:
        """Take a row by its number in the split; both values are JSON-able."""
        self._file.write(json.dumps([index, said, true], separators=(",", ":")).encode() + b"\n")

    def blocks(self) -> Iterator[bytes]:
        """What was taken, in whole lines. Nothing is taken after it."""
        self._file.close()
        with self._path.open("rb") as file:
            while lines := file.readlines(BLOCK_BYTES):
                yield b"".join(lines)


class Pairs:
    """All rows of a split, from the lines of every rank's writer."""

    def __init__(self, file: Path, *, num_rows: int) -> None:
        """Open a file. Raises ValueError where a row is missing or there twice."""
        self._starts = np.full(num_rows, -1, dtype=np.int64)
        with file.open("rb") as lines:
            self._data = mmap.mmap(lines.fileno(), 0, access=mmap.ACCESS_READ) if num_rows else b""
            at, found = 0, 0
            for line in lines:
                index = int(line[1 : line.index(b",")])
                found += self._starts[index] < 0
                self._starts[index] = at
                at += len(line)
        if found != num_rows:
            raise ValueError(f"{found} of {num_rows} rows are there")

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def said(self) -> Column:
        """What the model says."""
        return Column(self, 1)

    @property
    def true(self) -> Column:
        """What is true."""
        return Column(self, 2)

    def value(self, index: int, field: int) -> Any:
        """One field of a row."""
        start = int(self._starts[index])
        return json.loads(self._data[start : self._data.find(b"\n", start)])[field]


class Column(Sequence[Any]):
    """One side of the rows, as a sequence that is read from the file when it is asked for."""

    def __init__(self, pairs: Pairs, field: int) -> None:
        self._pairs, self._field = pairs, field

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._pairs.value(each, self._field) for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return self._pairs.value(index % len(self), self._field)
