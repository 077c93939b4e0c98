"""The tables of a run's page, every cell as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eagleray.report import happenings, wording
from eagleray.report.diagnosis import rows
from eagleray.report.history import History
from eagleray.report.table import NOTHING
from eagleray.store import best
from eagleray.store.events import Event
from eagleray.store.mistakes import Mistake

SHOWN_MISTAKES = 20
_SHOWN_EVENTS = 60


@dataclass(frozen=True, slots=True)
class MistakeRow:
    """A row of the data that the model is wrong or unsure about."""

    place: str
    text: str
    label: str
    answer: str
    label_probability: str
    answer_probability: str
    loss: str
    looks_wrong: bool


@dataclass(frozen=True, slots=True)
class MistakeTable:
    """The worst rows of a split."""

    split: str
    note: str
    rows: tuple[MistakeRow, ...]


def metric_rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """A metric, and its value on each split."""
    names = dict.fromkeys(name for measured in metrics.values() for name in measured)
    found = [(name, [best.value_of(measured, name) for measured in metrics.values()]) for name in names]
    return [(name, list(map(_number, values))) for name, values in found if any(value is not None for value in values)]


def class_rows(metrics: Mapping[str, Mapping[str, Any]], label_counts: Mapping[str, int]) -> list[list[str]]:
    """Label, training rows, rows, precision, recall, F1: the weakest class first."""
    measured = metrics.get("test") or metrics.get("validation") or {}
    classes = sorted(measured.get("per_class", {}).items(), key=lambda item: (item[1]["f1"], item[0]))
    return [
        [
            label,
            f"{label_counts.get(label, 0):,}" if label_counts else NOTHING,
            f"{scores['support']:,}",
            *(_number(scores[name]) for name in ("precision", "recall", "f1")),
        ]
        for label, scores in classes
    ]


def mistake_tables(history: History) -> list[MistakeTable]:
    """The rows of the highest loss; of a classifier those that it answers wrongly."""
    tables = []
    for record in history.mistakes:
        has_answers = any(each.answer for each in record.mistakes)
        shown = [each for each in record.mistakes if each.is_wrong or not has_answers][:SHOWN_MISTAKES]
        counted = wording.counted(record.num_rows, "row")
        note = f"By the model of step {record.step:,}, the highest loss of {counted} first."
        if record.split == "train":
            note = f"As they were answered in training up to step {record.step:,}, before they could be known by heart."
        if not shown:
            note = f"There are none: the model of step {record.step:,} answers all of {counted} rightly."
        elif any(rows.looks_wrong(each) for each in shown):
            note += " Where the model is sure of another label, the label itself may be wrong: these are marked."
        tables.append(MistakeTable(record.split, note, tuple(map(_mistake_row, shown))))
    return tables


def event_rows(events: Sequence[Event]) -> list[tuple[str, str]]:
    """When, and what was out of the ordinary; of very many the last."""
    told = [(event.at.strftime("%Y-%m-%d %H:%M:%S"), happenings.line(event)) for event in events]
    return [each for each in told if each[1]][-_SHOWN_EVENTS:]


def _mistake_row(mistake: Mistake) -> MistakeRow:
    return MistakeRow(
        place=mistake.place,
        text=mistake.text,
        label=mistake.label,
        answer=mistake.answer,
        label_probability=_share(mistake.label_probability),
        answer_probability=_share(mistake.answer_probability),
        loss=_number(mistake.loss),
        looks_wrong=rows.looks_wrong(mistake),
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else wording.number(value)
