"""A comparison of runs as tables for people, readable at 80 columns: each run has a letter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from eagleray.cli.printing import moment, number
from eagleray.report import wording

if TYPE_CHECKING:
    from eagleray.report.comparison import Comparison, Difference, Score
    from eagleray.store.runs import RunRecord

_HASH_CHARS = 12
"""Of a fingerprint or a commit: enough to tell two apart."""


def parts(found: Comparison) -> Iterator[Table | str]:
    """What is printed, one below the other."""
    yield _runs(found.records)
    letters = ascii_uppercase[: len(found.records)]
    yield ""
    yield _differences("document", found.document, letters) if found.document else "the documents are the same"
    yield ""
    yield (
        _differences("made with", found.made_with, letters)
        if found.made_with
        else "data, versions and hardware are the same"
    )
    if found.scores:
        yield ""
        yield _scores(found.scores, letters)
    if found.scores and not found.has_same_data:
        yield "the data differ: these are not scores of the same rows"


def _runs(records: Iterable[RunRecord]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("run", overflow="fold")
    for name in ("phase", "started (UTC)", "took"):
        table.add_column(name, no_wrap=True)
    table.add_column("steps", justify="right", no_wrap=True)
    table.add_column("best", justify="right", no_wrap=True)
    for letter, record in zip(ascii_uppercase, records, strict=False):
        of_steps = f"/{record.total_steps}" if record.total_steps else ""
        best = "" if record.best_step is None else str(record.best_step)
        took = _took(record.started_at, record.ended_at)
        table.add_row(
            letter, record.run, record.phase, moment(record.started_at), took, f"{record.step}{of_steps}", best
        )
    return table


def _differences(title: str, found: Iterable[Difference], letters: str) -> Table:
    table = _lettered(title, letters)
    for each in found:
        table.add_row(Text(each.key), *(Text(_value(value)) for value in each.values))  # a list is no markup
    return table


def _scores(found: Iterable[Score], letters: str) -> Table:
    table = _lettered("metric", letters)
    for score in found:
        cells = zip(score.values, score.best, strict=True)
        table.add_row(
            f"{score.split} {score.metric}", *(f"{number(value)}{'*' if is_best else ' '}" for value, is_best in cells)
        )
    return table


def _lettered(title: str, letters: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, overflow="fold")
    for letter in letters:
        table.add_column(letter, overflow="fold", justify="right")
    return table


def _value(value: Any) -> str:
    """As it stands in a document; a dash where a run has no such key."""
    match value:
        case None:
            return "-"
        case float():
            return number(value)
        case str() if len(value) > _HASH_CHARS and set(value) <= set("0123456789abcdef"):
            return value[:_HASH_CHARS]
        case str():
            return value
    return json.dumps(value, ensure_ascii=False)


def _took(started_at: datetime, ended_at: datetime | None) -> str:
    return wording.duration((ended_at - started_at).total_seconds()) if ended_at else ""
