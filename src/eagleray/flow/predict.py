"""What does a trained model say of each row?

Rows stream through: a window of them is read, sorted by length so that little is padding, answered in batches and given
out in the order it came in. Memory is that of one window, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from eagleray.errors import DataError, UserError
from eagleray.model import description
from eagleray.serving import loaded
from eagleray.serving.backends import torch as torch_backend
from eagleray.serving.loaded import Loaded
from eagleray.store import paths, runs
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.store.scratch import scratch_directory
from eagleray.tasks.base import Row
from eagleray.tasks.trained import Trained

_WINDOW_BATCHES = 32  # sorted together; with 32 batches padding is within a few percent of sorting everything


class InputRow(Protocol):
    """A raw row and where it stands."""

    @property
    def raw(self) -> Mapping[str, Any]: ...
    @property
    def place(self) -> str: ...
    def located(self, columns: Iterable[str]) -> Mapping[str, Any]: ...


def predict(objects: Objects, run: str, rows: Iterable[InputRow], *, batch_size: int = 32) -> Iterator[dict[str, Any]]:
    """One result a row, in order, from the final model of a run (its id, or its name for the newest).

    The model is loaded before the first row is read.

    Raises:
        UserError: there is no such run, it has no model, or a row is malformed (named by its place).
    """
    record = runs.find(objects, run)
    with model_directory(objects, record) as directory:
        model = torch_backend.load(directory)
    return results(model, rows, batch_size=batch_size)


def results(model: Trained, rows: Iterable[InputRow], *, batch_size: int) -> Iterator[dict[str, Any]]:
    """One result a row, in order, from a loaded model."""
    answering = loaded.of_trained(model)
    stream = iter(rows)
    while window := list(islice(stream, batch_size * _WINDOW_BATCHES)):
        samples = answering.tokenise([_read(answering, row, files=model.files) for row in window])
        yield from answering.answer_all(samples, batch_size=batch_size)


@contextmanager
def model_directory(objects: Objects, record: RunRecord) -> Iterator[Path]:
    """The run's final model as a directory of this machine; a remote one is there only as long as it is needed.

    Raises:
        UserError: it has none.
    """
    folder = paths.model(record.run)
    keys = [info.key for info in objects.list(folder)]
    # Written last: without it the model is not there, or not all of it.
    if f"{folder}/{description.FILE}" not in keys:
        raise UserError(
            f"run {record.run} is {record.phase} and has no final model: it is written when training has succeeded"
        )
    if objects.local_path is not None:
        yield objects.local_path / folder
        return
    with scratch_directory("model") as scratch:
        for key in keys:
            objects.download(key, scratch / key.removeprefix(f"{folder}/"))
        yield scratch


def _read(model: Loaded, row: InputRow, *, files: tuple[str, ...]) -> Row:
    try:
        return model.read(row.located(files))
    except ValueError as error:
        given = ", ".join(map(repr, row.raw)) or "none"
        raise DataError(f"{row.place}: {error} (columns of the row: {given})") from error
