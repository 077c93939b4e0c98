from __future__ import annotations

import dataclasses

import pytest

from bench import page
from bench.figures import Demand
from bench.results import Fingerprint, Result
from bench.rows import Row

ROW = Row(
    name="a",
    title="samples/s",
    script="script",
    data="films",
    threads="2",
    backend="torch",
    demands=(
        Demand("Trainer", "ours.speed", "trainer.speed", at_least=1.6),
        Demand("bare loop", "ours.speed", "bare.speed", at_least=0.98, is_limit=True),
        Demand("another", "ours.speed", "other.speed"),
    ),
    minutes=1.0,
    section="how-fast",
)
FIGURES = {"ours": {"speed": [17.0]}, "trainer": {"speed": [10.0]}, "bare": {"speed": [20.0]}}
RESULT = Result(
    row="a",
    command=["python"],
    fingerprint=Fingerprint("a chip", 2, 8, "3.11", {"torch": "2.13"}, "abc"),
    commit="0123456789ab",
    at="2026-01-01T00:00:00+00:00",
    seconds=1.0,
    load=0.5,
    figures=FIGURES,
)


def test_a_line_a_demand() -> None:
    assert page.table((ROW,), {"a": RESULT}).splitlines()[2:] == [
        "| **[samples/s](#how-fast)** | films; threads: 2; torch | load 0.5, at `0123456` | | | |",
        "| | Trainer | 1.70 | one | ≥ 1.6 | reached |",
        "| | limit: bare loop | 0.85 | one | ≥ 0.98 | **missed** |",
        "| | another | not run |  | told |  |",
    ]


def test_a_row_that_was_not_run_says_so() -> None:
    lines = page.table((ROW,), {}).splitlines()

    assert "| not run in this form |" in lines[2]
    assert lines[3] == "| | Trainer |  |  | ≥ 1.6 |  |"


def test_rounds_that_disagree_are_not_judged() -> None:
    noisy = dataclasses.replace(RESULT, figures={**FIGURES, "ours": {"speed": [5.0, 25.0]}})

    assert "not judged: the rounds disagree" in page.table((ROW,), {"a": noisy})
    assert page.missed((ROW,), {"a": noisy}) == []


def test_one_round_beside_other_work_is_not_judged() -> None:
    busy = dataclasses.replace(RESULT, load=5.0)

    assert "| not judged: one round beside other work |" in page.table((ROW,), {"a": busy})
    assert page.missed((ROW,), {"a": busy}) == []


def test_so_is_one_round_of_what_has_no_peer() -> None:
    alone = dataclasses.replace(ROW, demands=(Demand("itself", "ours.speed", at_least=20),))
    busy = dataclasses.replace(RESULT, load=5.0)

    assert "| not judged: one round beside other work |" in page.table((alone,), {"a": busy})
    assert page.missed((alone,), {"a": busy}) == []
    assert page.missed((alone,), {"a": RESULT}) == ["a: itself"]


def test_missed() -> None:
    assert page.missed((ROW,), {"a": RESULT}) == ["a: bare loop"]
    assert page.missed((ROW,), {}) == []


def test_fill_keeps_what_stands_around_the_marks() -> None:
    text = f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n"

    assert page.fill(text, "new") == f"before\n{page.BEGIN}\nnew\n{page.END}\nafter\n"


@pytest.mark.parametrize("text", ["", page.BEGIN, page.END])
def test_a_page_without_a_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="put both lines where the table is to stand"):
        page.fill(text, "new")
