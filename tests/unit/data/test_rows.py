"""Canonical rows: what is written, what is dropped, and what is said of rows that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eagleray.data.formats import SourceRow
from eagleray.data.reading import Reader
from eagleray.data.rows import RowFacts, StoredRows, iterate, write_rows
from eagleray.errors import DataError
from tests.support.reviews import ReviewTask, reviews


def write(
    path: Path, raws: list[dict[str, Any]], *, task: ReviewTask | None = None, keep: Mapping[str, tuple[str, ...]] = {}
) -> RowFacts:
    rows = (SourceRow(raw, f"a.csv:{number}") for number, raw in enumerate(raws, start=2))
    return write_rows(
        rows, reader=Reader(task or ReviewTask()), keep=keep, path=path / "rows.arrow", on_rows=lambda done: None
    )


def test_rows_are_stored_with_their_places(tmp_path: Path) -> None:
    facts = write(tmp_path, reviews(2500))
    stored = StoredRows(facts.path)
    assert len(stored) == len(facts) == 2500
    assert stored.row(2345) == {"text": "review 2345 ", "labels": ["good"]}
    assert stored.place(2345) == "a.csv:2347"
    assert facts.label_sets == (("bad",), ("good",))
    assert facts.combinations[:3].tolist() == [0, 1, 0]
    assert len(np.unique(facts.identities)) == 2500


def test_progress_is_told_every_thousand_rows(tmp_path: Path) -> None:
    told: list[int] = []
    rows = (SourceRow(raw, "") for raw in reviews(2500))
    write_rows(rows, reader=Reader(ReviewTask()), keep={}, path=tmp_path / "rows.arrow", on_rows=told.append)
    assert told == [1000, 2000, 2500]


def test_long_texts_are_written_in_smaller_batches(tmp_path: Path) -> None:
    told: list[int] = []
    rows = (SourceRow({"text": str(number) + "x" * 3_000_000, "label": "a"}, "") for number in range(5))
    write_rows(rows, reader=Reader(ReviewTask()), keep={}, path=tmp_path / "rows.arrow", on_rows=told.append)
    assert told == [2, 4, 5]


@pytest.mark.parametrize("numbers", [[], [0], [999, 1000], [7, 1500, 2499], list(range(2500))], ids=len)
def test_iterate_gives_the_asked_rows_in_batches(tmp_path: Path, numbers: list[int]) -> None:
    facts = write(tmp_path, reviews(2500))
    batches = list(iterate(facts.path, np.array(numbers, dtype=np.int64)))
    assert [row["text"].split()[1] for batch in batches for row in batch] == list(map(str, numbers))
    assert all(len(batch) == 1000 for batch in batches[:-1])


def test_all_kinds_of_text_go_through(tmp_path: Path) -> None:
    texts = ["坏电影", "😀 emoji", 'quote " \\ slash', "line\nbreak\u2028", "nul \x00"]
    facts = write(tmp_path, [{"text": text, "label": "a"} for text in texts])
    assert [StoredRows(facts.path).row(number)["text"] for number in range(5)] == texts


def test_rows_that_cannot_be_used_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    raws = reviews(3) + [{"text": None, "label": "a"}] * 7 + [{"text": "a"}, {"text": "half \ud83d", "label": "a"}]
    problems = write(tmp_path, raws).problems
    assert problems.count == 9
    assert problems.examples == [f"a.csv:{line}: column 'text' is empty" for line in range(5, 10)]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"text": "a"}, "a.csv:4: no 'label'"),
        ({}, "a.csv:4: no 'text' and no 'label'"),
        ({"text": "half \ud83d", "label": "good"}, r"a.csv:4: '\\ud83d' is half of a character"),
        (
            {"text": "a", "label": "goood"},
            r"a.csv:4: label 'goood' is not in task.labels \(bad, good\) \(did you mean 'good'\?\)",
        ),
    ],
)
def test_what_can_be_wrong_with_a_row(tmp_path: Path, raw: dict[str, Any], message: str) -> None:
    facts = write(tmp_path, [*reviews(2), raw], task=ReviewTask(labels=("bad", "good")))
    assert facts.problems.count == 1
    assert len(facts) == 2
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(facts.problems.examples[0])


def test_a_column_that_is_not_there_is_an_error_with_those_that_are(tmp_path: Path) -> None:
    expected = (
        r"a.csv:2: no column 'lable', which spec.task asks for \(did you mean 'label'\?\); "
        "the columns here are 'text', 'label': name the right one in spec.task"
    )
    with pytest.raises(DataError, match=expected):
        write(tmp_path, reviews(3), task=ReviewTask(label="lable"))


class TestKeep:
    def test_other_rows_are_dropped_and_values_compare_as_text(self, tmp_path: Path) -> None:
        raws = [{**row, "year": 1990 + number, "seen": number > 2} for number, row in enumerate(reviews(6))]
        facts = write(tmp_path, raws, keep={"year": ("1990", "1993", "1994"), "seen": ("true",)})
        assert (len(facts), facts.num_dropped) == (2, 4)

    def test_a_value_that_no_row_has_is_an_error_with_those_that_are_there(self, tmp_path: Path) -> None:
        expected = (
            r"spec.data.keep: no row has 'goood' in column 'label' \(did you mean 'good'\?\); it holds 'bad', 'good'"
        )
        with pytest.raises(DataError, match=expected):
            write(tmp_path, reviews(4), keep={"label": ("bad", "goood")})

    def test_a_column_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no column 'category', which spec.data.keep asks for"):
            write(tmp_path, reviews(4), keep={"category": ("a",)})

    def test_rows_that_are_dropped_are_not_checked(self, tmp_path: Path) -> None:
        raws = [*reviews(2), {"text": None, "label": "other"}]
        assert write(tmp_path, raws, keep={"label": ("bad", "good")}).problems.count == 0
