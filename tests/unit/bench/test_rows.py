from __future__ import annotations

import re

import pytest

from bench import page
from bench.results import ROOT
from bench.rows import ROWS, Row

PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def anchors() -> set[str]:
    """As a page of Markdown names its headings."""
    heads = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_its_script_and_its_section(row: Row) -> None:
    assert (ROOT / "bench" / f"{row.script}.py").is_file()
    assert not row.section or row.section in anchors()
    assert row.demands


def test_names_are_names_of_one_row() -> None:
    names = [row.name for row in ROWS]

    assert sorted(set(names)) == sorted(names)


def test_all_are_planned_for_three_hours_and_the_quick_ones_for_eight_minutes() -> None:
    assert sum(row.minutes for row in ROWS) <= 180
    assert sum(row.quick_minutes for row in ROWS if row.quick is not None) <= 8


def test_the_table_is_that_of_the_figures() -> None:
    """`python -m bench --only` of a row that is there writes both."""
    committed = page.load(ROOT / "docs" / "benchmarks.json")

    assert page.fill(PAGE, page.whole(ROWS, committed)) == PAGE
