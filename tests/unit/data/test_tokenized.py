"""Samples on disk: what was encoded comes back, by number, in any process."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eagleray.data.encoder import Row
from eagleray.data.formats import SourceRow
from eagleray.data.reading import Reader
from eagleray.data.rows import write_rows
from eagleray.data.tokenized import TokenFacts, TokenizedSplit, rows_path, write_split
from eagleray.errors import DataError
from tests.support.reviews import CharacterTokenizer, ReviewTask, reviews

TASK = ReviewTask(labels=("bad", "good"))


def store(directory: Path, numbers: np.ndarray, *, encode: Any = None, num_rows: int = 2500) -> TokenFacts:
    rows = (SourceRow(raw, f"a.csv:{number}") for number, raw in enumerate(reviews(num_rows), start=2))
    path = rows_path(directory, "train")
    write_rows(rows, reader=Reader(TASK), keep={}, path=path, on_rows=lambda done: None)
    return write_split(
        directory,
        name="validation",
        source="train",
        numbers=numbers,
        encode=encode or (lambda batch: TASK.encode(batch, CharacterTokenizer(), 16)),
        on_rows=lambda done: None,
    )


def opened(directory: Path) -> TokenizedSplit:
    return TokenizedSplit(directory, name="validation", source="train")


def test_samples_come_back_as_they_were_encoded_in_any_order(tmp_path: Path) -> None:
    numbers = np.arange(1, 2500, 2)
    store(tmp_path, numbers)
    split = opened(tmp_path)
    indices = np.random.default_rng(0).permutation(len(split))
    rows = [{"text": raw["text"], "labels": [raw["label"]]} for raw in reviews(2500)]
    expected = TASK.encode([rows[number] for number in numbers[indices]], CharacterTokenizer(), 16)
    samples = split.samples(indices)
    assert len(split) == len(samples) == 1250
    for name, values in expected.items():
        assert [np.asarray(sample[name]).tolist() for sample in samples] == values
    assert split.lengths[indices].tolist() == [len(ids) for ids in expected["input_ids"]]
    assert split.lengths.dtype == np.int32


def test_rows_and_places_belong_to_the_samples(tmp_path: Path) -> None:
    store(tmp_path, np.array([3, 2400]))
    assert opened(tmp_path).row(1) == {"text": "review 2400 " + "so " * 6, "labels": ["bad"]}
    assert opened(tmp_path).place(1) == "a.csv:2402"


def test_a_pickled_split_opens_the_same_files(tmp_path: Path) -> None:
    store(tmp_path, np.arange(10))
    split = pickle.loads(pickle.dumps(opened(tmp_path)))
    assert (
        split.samples(np.array([4]))[0]["input_ids"].tolist()
        == opened(tmp_path).samples(np.array([4]))[0]["input_ids"].tolist()
    )


def test_facts_are_of_the_uncut_samples(tmp_path: Path) -> None:
    facts = store(tmp_path, np.arange(8))
    assert facts.full_lengths.tolist() == [len(raw["text"]) for raw in reviews(8)]
    assert facts.num_without_targets == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ([0.5, 2.0], [0.5, 2.0]),
        ([True, False], [True, False]),
        (["a", "b"], ["a", "b"]),
        ([[1.5], [2.5, 3.5]], [[1.5], [2.5, 3.5]]),
        ([[True], [False, True]], [[True], [False, True]]),
        ([[], []], [[], []]),
        ([np.array([1, 2], np.int8), np.array([], np.int8)], [[1, 2], []]),
    ],
    ids=["int", "float", "bool", "text", "floats", "bools", "empty lists", "arrays"],
)
def test_every_kind_of_column_comes_back(tmp_path: Path, values: list[Any], expected: list[Any]) -> None:
    def encode(rows: list[Row]) -> dict[str, list[Any]]:
        return {"input_ids": [[1]] * 2, "full_length": [1] * 2, "num_targets": [1] * 2, "extra": values}

    store(tmp_path, np.arange(2), encode=encode)
    got = [sample["extra"] for sample in opened(tmp_path).samples(np.array([0, 1]))]
    assert [value.tolist() if isinstance(value, np.ndarray) else value for value in got] == expected


def test_a_row_that_cannot_be_encoded_is_named(tmp_path: Path) -> None:
    task = ReviewTask(labels=("bad", "good"), refuse="review 1234")
    with pytest.raises(DataError, match=r"^a\.csv:1236: cannot encode 'review 1234'$"):
        store(tmp_path, np.arange(2500), encode=lambda rows: task.encode(rows, CharacterTokenizer(), 16))
