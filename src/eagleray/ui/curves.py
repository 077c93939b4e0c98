"""What is drawn of a run: its figures by step, so few points that a browser draws them at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eagleray.store import best

MAX_POINTS = 500
"""Of one line: no screen shows more."""

Rows = list[Mapping[str, Any]]
Columns = dict[str, list[float | None]]


def of_steps(rows: Iterable[Mapping[str, Any]]) -> dict[str, Columns]:
    """The figures of training and of each split that was evaluated, by name, each with its steps."""
    train: Rows = []
    splits: dict[str, Rows] = {}
    for row in rows:
        measured = {name: value for name, value in row.items() if isinstance(value, Mapping)}
        for split, metrics in measured.items():
            splits.setdefault(split, []).append({"step": row["step"], **metrics})
        if not measured:
            train.append(row)
    return {"train": columns(train), **{split: columns(found) for split, found in splits.items()}}


def columns(rows: Sequence[Mapping[str, Any]], *, max_points: int = MAX_POINTS) -> Columns:
    """Rows of numbers as columns. Of many rows the means of groups, each at the last step of its group."""
    size = max(1, -(-len(rows) // max_points))
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    names = dict.fromkeys(name for row in rows for name, value in row.items() if _is_number(value))
    names.pop("step", None)
    steps: list[float | None] = [group[-1]["step"] for group in groups]
    return {"step": steps, **{name: [_mean(group, name) for group in groups] for name in names}}


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    values = [value for row in rows if (value := best.value_of(row, name)) is not None]
    return sum(values) / len(values) if values else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
