"""The metrics of a run as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from eagleray.cli.screen import Screen

if TYPE_CHECKING:
    from eagleray.store.runs import RunRecord

MAX_LANGUAGE_METRICS = 6
"""Rows, loss and what comes next: a terminal has no more room; `--json` has all."""


def print_metrics(record: RunRecord) -> None:
    """Print what a run reached, a metric a row, what it was measured on side by side."""
    columns = record.metrics
    table = Table()
    table.add_column("metric")
    for name in columns:
        table.add_column(name, justify="right")
    for metric in _numbers(columns):
        table.add_row(metric, *(_cell(values.get(metric)) for values in columns.values()))
    console = Screen()
    console.print(f"{record.run}: best checkpoint at step {record.best_step}", highlight=False, soft_wrap=True)
    console.print(table)
    for each in language_tables(record):
        console.print(each)
    console.print(f"predict with it: eagleray predict {record.run} --input FILE", highlight=False, soft_wrap=True)
    if record.kind == "FineTune":  # a sweep has written a page of its own
        console.print(f"look at it: eagleray runs report {record.run}", highlight=False, soft_wrap=True)


def language_tables(record: RunRecord) -> list[Table]:
    """The metrics of each language, a table a split; none where no column tells languages."""
    told = {split: metrics.get("per_language") for split, metrics in record.metrics.items()}
    return [_language_table(split, languages) for split, languages in told.items() if languages]


def _language_table(split: str, languages: dict[str, dict[str, Any]]) -> Table:
    """A language a row, a metric a column."""
    table = Table(title=f"{split}, by language", title_justify="left")
    table.add_column("language")
    names = _numbers(languages)[:MAX_LANGUAGE_METRICS]
    for name in names:
        table.add_column(name, justify="right")
    for language, values in languages.items():
        table.add_row(language, *(_cell(values.get(name)) for name in names))
    return table


def _numbers(columns: dict[str, dict[str, Any]]) -> list[str]:
    """The metrics that are numbers, in the order in which they were reported."""
    names = [name for values in columns.values() for name, value in values.items() if isinstance(value, int | float)]
    return list(dict.fromkeys(names))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
