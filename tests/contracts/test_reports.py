"""What docs/reports.md says of reports is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from eagleray.report.diagnosis import rows
from eagleray.store import goodput, mistakes
from eagleray.train import cadence

TEXT = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")


def test_every_category_of_goodput_is_described() -> None:
    goodputs = TEXT.partition("## Goodput")[2]

    assert re.findall(r"^\| `(\w+)` \|", goodputs, re.MULTILINE) == list(get_args(goodput.Category))


@pytest.mark.parametrize(
    "words",
    [
        f"the {mistakes.KEPT} rows of the highest loss",
        f"cut after {mistakes.MAX_CHARACTERS} characters",
        f"at most {cadence.MAX_LAYER_RECORDS} logged ones",
        f"fewer than {rows.FEW_ROWS} training rows",
        f"right about {rows.GOOD:.0%} gives a row's own label {rows.UNLIKELY:.0%} or less".replace("%", " %"),
    ],
)
def test_numbers(words: str) -> None:
    assert words in TEXT
