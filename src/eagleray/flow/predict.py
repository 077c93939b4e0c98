"""What does a trained model say of each row?

Rows stream through: a window of them is read, sorted by length so that little is padding, answered in batches and given
out in the order it came in. Memory is that of one window, however many rows there are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from eagleray.errors import DataError, UserError
from eagleray.model import description
from eagleray.store import paths, runs
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.tasks import trained
from eagleray.tasks.base import Row, Sample
from eagleray.tasks.trained import Trained

_WINDOW_BATCHES = 32  # sorted together; with 32 batches padding is within a few percent of sorting everything


class InputRow(Protocol):
    """A raw row and where it stands."""

    @property
    def raw(self) -> Mapping[str, Any]: ...
    @property
    def place(self) -> str: ...


def predict(objects: Objects, run: str, rows: Iterable[InputRow], *, batch_size: int = 32) -> Iterator[dict[str, Any]]:
    """One result a row, in order, from the final model of a run (its id, or its name for the newest).

    The model is loaded before the first row is read.

    Raises:
        UserError: there is no such run, it has no model, or a row is malformed (named by its place).
    """
    record = runs.find(objects, run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with _model_directory(objects, record) as directory:
        model = trained.load(directory, device=device)
    return results(model, rows, batch_size=batch_size)


def results(model: Trained, rows: Iterable[InputRow], *, batch_size: int) -> Iterator[dict[str, Any]]:
    """One result a row, in order, from a loaded model."""
    stream = iter(rows)
    while window := list(islice(stream, batch_size * _WINDOW_BATCHES)):
        yield from _answer(model, [_read(model, row) for row in window], batch_size=batch_size)


@contextmanager
def _model_directory(objects: Objects, record: RunRecord) -> Iterator[Path]:
    """The run's final model as a directory of this machine; a remote one is there only as long as it is needed."""
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
    with tempfile.TemporaryDirectory(prefix="eagleray-model-") as scratch:
        for key in keys:
            objects.download(key, Path(scratch) / key.removeprefix(f"{folder}/"))
        yield Path(scratch)


def _read(model: Trained, row: InputRow) -> Row:
    try:
        return model.task.read_input(row.raw)
    except ValueError as error:
        given = ", ".join(map(repr, row.raw)) or "none"
        raise DataError(f"{row.place}: {error} (columns of the row: {given})") from error


def _answer(model: Trained, rows: list[Row], *, batch_size: int) -> list[dict[str, Any]]:
    columns = model.task.encode(rows, model.tokenizer, model.max_length)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    # Longest first: too little memory shows at the first batch.
    order = sorted(range(len(samples)), key=lambda index: -len(samples[index]["input_ids"]))
    answers: list[dict[str, Any]] = [{}] * len(samples)
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        for index, answer in zip(indices, _forward(model, [samples[index] for index in indices]), strict=True):
            answers[index] = answer
    return answers


def _forward(model: Trained, samples: list[Sample]) -> list[dict[str, Any]]:
    pad_id = model.tokenizer.pad_token_id
    weights = np.ones(len(samples), dtype=np.float32)
    batch = model.task.collate(samples, weights=weights, pad_id=pad_id, max_length=model.max_length)
    on_device = {name: tensor.to(model.device) for name, tensor in batch.items()}
    with torch.inference_mode():
        return model.task.predict(model.model, model.tokenizer, on_device)
