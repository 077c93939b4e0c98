"""The metrics of a run as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from eagleray.store.runs import RunRecord


def print_metrics(record: RunRecord) -> None:
    """Print what a run reached, a metric a row, what it was measured on side by side."""
    columns = record.metrics
    table = Table()
    table.add_column("metric")
    for name in columns:
        table.add_column(name, justify="right")
    for metric in _numbers(columns):
        table.add_row(metric, *(_cell(values.get(metric)) for values in columns.values()))
    console = Console()
    console.print(f"{record.run}: best checkpoint at step {record.best_step}", highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"predict with it: eagleray predict {record.run} --input FILE", highlight=False, soft_wrap=True)
    if record.kind == "FineTune":  # a sweep has written a page of its own
        console.print(f"look at it: eagleray runs report {record.run}", highlight=False, soft_wrap=True)


def _numbers(columns: dict[str, dict[str, Any]]) -> list[str]:
    """The metrics that are numbers, in the order in which they were reported."""
    names = [name for values in columns.values() for name, value in values.items() if isinstance(value, int | float)]
    return list(dict.fromkeys(names))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
