"""How are rows kept on disk so that memory does not grow with them? In Arrow files of small record batches.

They are written a batch at a time, streamed through ordinary reads (of a memory map every page read would count as
resident), and looked up through a memory map.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


class Writer:
    """An Arrow file being written, and beside it where its batches start. Its schema is the first batch's.

    A context manager; nothing is there where nothing was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._writer: Any = None
        self._starts = [0]

    def write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._file = pa.OSFile(str(self._path), "wb")
            self._writer = pa.ipc.new_file(self._file, batch.schema)
        self._writer.write_batch(batch)
        self._starts.append(self._starts[-1] + batch.num_rows)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._file.close()
            np.save(_starts_path(self._path), np.array(self._starts, dtype=np.int64))


class Batches:
    """The record batches of a file by memory map, and which row is in which of them."""

    def __init__(self, path: Path) -> None:
        self._reader = pa.ipc.open_file(pa.memory_map(str(path), "r"))
        # Asking every batch for its size would touch a page of each, and with its neighbours map half of the file.
        self._starts: np.ndarray = np.load(_starts_path(path))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the record batch of each row, and its number therein."""
        batches = np.searchsorted(self._starts, rows, side="right") - 1
        return batches, rows - self._starts[batches]

    def read(self, number: int) -> pa.RecordBatch:
        """Return one record batch, its columns views of the file."""
        return self._reader.get_batch(number)


def stream(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the record batches in order, one in memory at a time."""
    with pa.OSFile(str(path), "rb") as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _starts_path(path: Path) -> Path:
    return path.with_suffix(".starts.npy")
