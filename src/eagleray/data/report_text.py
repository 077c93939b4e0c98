"""How is a data report printed? As a few plain lines of at most 80 columns."""

from __future__ import annotations

import textwrap
import unicodedata

from eagleray.data import steps_text
from eagleray.data.checks import DataReport, LengthReport, SplitReport

WIDTH = 80
BAR_WIDTH = 40
MAX_LABELS = 12


def render(report: DataReport) -> str:
    """Return the report as text, without a line break at its end."""
    train = report.splits[0]
    lines = [_table_row(["split", "rows", "dropped", "repeated", "leaked", "median", "longest", "cut"])]
    lines += [_table_row(_figures(split)) for split in report.splits]
    lines += steps_text.lines(report.steps)
    if train.label_counts:
        lines += ["", f"labels ({train.name})", *_label_lines(train)]
    lines += ["", f"tokens ({train.name}), cut at {report.max_length}", *_length_lines(train.lengths)]
    for warning in report.warnings:
        lines += ["", *textwrap.wrap(f"warning: {warning}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
    return "\n".join(lines)


def _figures(split: SplitReport) -> list[str]:
    lengths = split.lengths
    numbers = [split.rows, split.dropped, split.duplicates, split.leaked, lengths.median, lengths.longest]
    return [split.name, *(f"{number:,}" for number in numbers), f"{lengths.num_cut / split.rows:.1%}"]


def _table_row(cells: list[str]) -> str:
    name, *figures = cells
    return f"{name:<11}" + "".join(f"{figure:>9}" for figure in figures)


def _label_lines(split: SplitReport) -> list[str]:
    shown = list(split.label_counts.items())[:MAX_LABELS]
    lines = [_bar_line(label, rows, split.rows) for label, rows in shown]
    more = len(split.label_counts) - len(shown)
    return lines + ([f"  and {more:,} more labels"] if more else [])


def _length_lines(lengths: LengthReport) -> list[str]:
    lows = [0, *lengths.edges]
    names = [f"{low + 1}-{high}" for low, high in zip(lows, lengths.edges, strict=False)] + [f"{lows[-1] + 1}+"]
    total = sum(lengths.counts)
    return [_bar_line(name, count, total) for name, count in zip(names, lengths.counts, strict=True) if count]


def _bar_line(name: str, count: int, total: int) -> str:
    bar = "#" * round(BAR_WIDTH * count / total)
    return f"  {_fitted(name, 14)} {count:>10,} {count / total:>6.1%} {bar}".rstrip()


def _fitted(text: str, width: int) -> str:
    """Cut or fill to `width` columns; Chinese characters and emoji take two."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    kept, used = "", 0
    for character in printable:
        columns = 0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used + columns > width:
            return kept[:-1] + "…" + " " * (width - _columns(kept[:-1]) - 1)
        kept, used = kept + character, used + columns
    return kept + " " * (width - used)


def _columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
