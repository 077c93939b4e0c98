"""The printed data report."""

from __future__ import annotations

import unicodedata

from eagleray.data.checks import DataReport, LengthReport, SplitReport
from eagleray.data.report_text import render

LENGTHS = LengthReport(
    shortest=3, median=20, p95=60, longest=213, edges=(8, 16, 32, 64), counts=(0, 4000, 5000, 900, 100), num_cut=100
)
TRAIN = SplitReport(
    name="train",
    source="train.csv",
    rows=10_000,
    dropped=1_234,
    label_counts={"good": 7_500, "坏的电影评论非常非常长": 2_500},
    duplicates=12,
    leaked=0,
    lengths=LENGTHS,
)
REPORT = DataReport(
    splits=(TRAIN,), max_length=64, warnings=("train: something " + "quite long " * 12 + "is suspicious",)
)


def test_the_report_is_a_table_two_histograms_and_the_warnings() -> None:
    assert render(REPORT).splitlines() == [
        "split           rows  dropped repeated   leaked   median  longest      cut",
        "train         10,000    1,234       12        0       20      213     1.0%",
        "",
        "labels (train)",
        "  good                7,500  75.0% ##############################",
        "  坏的电影评论…       2,500  25.0% ##########",
        "",
        "tokens (train), cut at 64",
        "  9-16                4,000  40.0% ################",
        "  17-32               5,000  50.0% ####################",
        "  33-64                 900   9.0% ####",
        "  65+                   100   1.0%",
        "",
        "warning: train: something quite long quite long quite long quite long quite long",
        "  quite long quite long quite long quite long quite long quite long quite long",
        "  is suspicious",
    ]


def test_no_line_is_wider_than_80_columns() -> None:
    wide = TRAIN.model_copy(
        update={"label_counts": {"评论" * number + "x" * number: 10_000 for number in range(1, 30)}}
    )
    text = render(REPORT.model_copy(update={"splits": (wide,)}))
    assert max(map(columns, text.splitlines())) <= 80
    assert "  and 17 more labels" in text.splitlines()


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def test_a_data_set_without_labels_has_no_label_histogram() -> None:
    text = render(REPORT.model_copy(update={"splits": (TRAIN.model_copy(update={"label_counts": {}}),)}))
    assert "labels" not in text
