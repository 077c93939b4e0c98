"""What is said about rows: a table of data sets and what is wrong or suspicious in them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from eagleray.data.checks import (
    Finding,
    SplitFacts,
    check_lengths,
    check_rows,
    label_counts,
    length_report,
    split_report,
)


def facts(name: str, rows: list[tuple[str, str]], *, is_drawn: bool = False) -> SplitFacts:
    """Rows as (input, labels joined by +)."""
    sets = sorted({labels for _, labels in rows})
    return SplitFacts(
        name=name,
        source=f"{name}.csv",
        is_drawn=is_drawn,
        num_dropped=0,
        identities=np.array([sum(map(ord, text)) for text, _ in rows], dtype=np.uint64),
        combinations=np.array([sets.index(labels) for _, labels in rows], dtype=np.int32),
        label_sets=tuple(tuple(labels.split("+")) if labels else () for labels in sets),
        place=lambda row: f"{name}.csv:{row + 2}",
    )


def messages(findings: list[Finding]) -> list[str]:
    return [f"{finding.severity}: {finding.message}" for finding in findings]


FINE = [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (FINE, []),
        ([("a", ""), ("b", "")], []),
        ([("a", "x+y"), ("b", "x"), ("c", ""), ("d", "y")], []),
        ([], ["error: train: no rows are left of train.csv"]),
        (
            [("a", "x"), ("b", "x")],
            ["error: train: every row has the label 'x': there is nothing to tell apart; check spec.task.label"],
        ),
        (
            [*FINE, ("a", "x"), ("a", "x")],
            [
                "warning: train: 2 of 6 rows repeat the input of another row "
                "(train.csv:6 = train.csv:2, train.csv:7 = train.csv:6): they count more than once"
            ],
        ),
        (
            [*FINE, ("a", "y")],
            [
                "warning: train: 1 of 5 rows repeat the input of another row (train.csv:6 = train.csv:2): "
                "they count more than once",
                "warning: train: 1 inputs occur with different labels (train.csv:6 = train.csv:2): "
                "at most one of them can be right",
            ],
        ),
        (
            [*FINE, ("e", "z")],
            ["warning: train: the label 'z' in one row only: too few to learn, or misspelt"],
        ),
        (
            [(chr(200 + number), "x") for number in range(18)] + [("a", "y"), ("b", "y")],
            [
                "warning: train: 90.0% of the rows have the label 'x': accuracy says little here, watch f1_macro",
            ],
        ),
    ],
    ids=[
        "fine",
        "no labels",
        "several labels",
        "empty",
        "one label",
        "repeated",
        "contradictory",
        "rare",
        "unbalanced",
    ],
)
def test_training_rows(train: list[tuple[str, str]], expected: list[str]) -> None:
    assert messages(check_rows(facts("train", train), (), declared=())) == expected


@pytest.mark.parametrize(
    ("rows", "is_drawn", "declared", "expected"),
    [
        ([("e", "x"), ("f", "y")], False, (), []),
        ([], False, (), ["error: test: no rows are left of test.csv"]),
        (
            [("e", "x"), ("f", "y"), ("g", "z"), ("h", "w")],
            False,
            (),
            [
                "error: test: no training row has the labels 'w', 'z' (test.csv:4); train has 'x', 'y': "
                "correct the label, add training rows, or leave these out with data.keep"
            ],
        ),
        (
            [("e", "x"), ("f", "y"), ("g", "z")],
            False,
            ("x", "y", "z"),
            [
                "warning: train: no row has the label 'z' of task.labels: it cannot be learned",
                "warning: test: no training row has the label 'z' (test.csv:4): the model cannot learn it; "
                "train has 'x', 'y'",
            ],
        ),
        (
            [("e", "x")],
            False,
            (),
            ["warning: test: no row has the label 'y': its metrics say nothing of it"],
        ),
        (
            [("e", "x")],
            True,
            (),
            ["warning: test: no row has the label 'y': too few rows for its share: its metrics say nothing of it"],
        ),
        (
            [("e", "y"), ("c", "x"), ("a", "x")],
            False,
            (),
            [
                "warning: test: 2 of 3 rows have the input of a training row (test.csv:3 = train.csv:4, "
                "test.csv:4 = train.csv:2): its metrics are too good; take them out of one of the two"
            ],
        ),
    ],
    ids=["fine", "empty", "unknown labels", "declared label", "absent label", "absent in a drawn split", "leaked"],
)
def test_rows_of_another_split(
    rows: list[tuple[str, str]], is_drawn: bool, declared: tuple[str, ...], expected: list[str]
) -> None:
    other = facts("test", rows, is_drawn=is_drawn)
    assert messages(check_rows(facts("train", FINE), (other,), declared=declared)) == expected


@pytest.mark.parametrize(
    ("lengths", "num_without_targets", "expected"),
    [
        ([10] * 9 + [65], 0, []),
        (
            [10] * 8 + [65, 99],
            0,
            [
                "warning: train: 2 of 10 rows (20.0%) are longer than data.max_length 64 and are cut "
                "(median 10, longest 99 tokens): raise data.max_length if the model takes it"
            ],
        ),
        (
            [10] * 10,
            3,
            [
                "warning: train: 3 of 10 rows have no target within data.max_length 64: nothing is learned from them; "
                "raise it or shorten their prompts"
            ],
        ),
        ([10] * 10, 10, ["error: train: no row has a target within data.max_length 64: raise it"]),
    ],
    ids=["few cut", "many cut", "some without targets", "none has targets"],
)
def test_lengths(lengths: list[int], num_without_targets: int, expected: list[str]) -> None:
    found = check_lengths("train", np.array(lengths), num_without_targets=num_without_targets, max_length=64)
    assert messages(found) == expected


def test_the_histogram_doubles_up_to_the_cut() -> None:
    report = length_report(np.array([1, 8, 9, 16, 40, 50, 51]), max_length=50)
    assert report.edges == (8, 16, 32, 50)
    assert report.counts == (2, 2, 0, 2, 1)
    assert (report.shortest, report.median, report.longest, report.num_cut) == (1, 16, 51, 1)


def test_a_short_cut_is_the_only_edge() -> None:
    assert length_report(np.array([3, 9]), max_length=8).counts == (1, 1)


def test_the_figures_of_a_split() -> None:
    train, test = facts("train", FINE), facts("test", [("a", "x"), ("a", "x"), ("z", "x+y")])
    report = split_report(test, train=train, used=test, full_lengths=np.array([1, 2, 3]), max_length=64)
    assert (report.rows, report.duplicates, report.leaked) == (3, 1, 2)
    assert report.label_counts == label_counts(test) == {"x": 3, "y": 1}


def test_a_label_of_parts_may_be_in_every_row() -> None:
    everywhere = dataclasses.replace(facts("train", [("a", "x"), ("b", "x")]), labels_parts=True)
    assert check_rows(everywhere, (), declared=()) == []
