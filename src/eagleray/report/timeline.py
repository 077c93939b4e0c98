"""Where the time of a run went: in one bar by what was done, and attempt by attempt with what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import plotly.graph_objects as go

from eagleray.report import drawing, happenings, wording
from eagleray.report.history import History
from eagleray.report.palette import (
    BEST,
    BROKEN,
    CHANGED,
    FINISHED,
    LOWER_THIRD,
    MIDDLE_THIRD,
    RUNNING,
    UPPER_THIRD,
    Colour,
)
from eagleray.store import goodput
from eagleray.store.events import Event
from eagleray.store.goodput import Attempt, Category, Goodput

CATEGORIES: Mapping[Category, tuple[str, Colour]] = {
    "steps": ("steps that count", RUNNING),
    "start_up": ("start-up", MIDDLE_THIRD),
    "data": ("waiting for data", BEST),
    "checkpoint": ("standing still for checkpoints", UPPER_THIRD),
    "evaluation": ("evaluation", CHANGED),
    "lost": ("lost work", BROKEN),
    "other": ("closing and the rest", LOWER_THIRD),
}
_MARKS: dict[str, tuple[str, str, Colour]] = {
    "evaluated": ("evaluation", "line-ns", CHANGED),
    "checkpoint": ("checkpoint", "diamond", FINISHED),
    "storage-trouble": ("trouble with the storage", "triangle-up", BEST),
    "restarted": ("restart", "x", BROKEN),
    "failed": ("failure", "x", BROKEN),
}
_ROW_PX = 38
_MAX_HOVER = 160


@dataclass(frozen=True, slots=True)
class Part:
    """What some of the time went into."""

    name: str
    colour: Colour
    duration: str
    share: str


def parts(found: Goodput) -> list[Part]:
    """The categories in words: what the bar's colours mean."""
    return [
        Part(name, colour, wording.duration(found.seconds[category]), f"{found.seconds[category] / found.wall_s:.1%}")
        for category, (name, colour) in CATEGORIES.items()
        if found.seconds.get(category)
    ]


def spent(found: Goodput) -> go.Figure:
    """One bar of the whole time, a part a category."""
    scale, unit = _scale(found.wall_s)
    bars = [
        go.Bar(
            y=[""],
            x=[found.seconds[category] / scale],
            text=[f"{name}: {wording.duration(found.seconds[category])}, {found.seconds[category] / found.wall_s:.1%}"],
            textposition="none",
            hoverinfo="text",
            name=name,
            orientation="h",
            marker={"color": colour.light},
        )
        for category, (name, colour) in CATEGORIES.items()
        if found.seconds.get(category)
    ]
    return drawing.laid_out(
        go.Figure(bars),
        height=130,
        barmode="stack",
        showlegend=False,
        margin={"l": 8, "r": 8, "t": 10, "b": 52},
        xaxis={"title": {"text": unit}},
        yaxis={"visible": False},
    )


def attempts(history: History) -> go.Figure:
    """A row an attempt: start-up, training, and what happened when. The time in which nobody ran it is left out."""
    found = goodput.attempts(history.record, history.events, history.times, until=history.until)
    offsets = list(_offsets(found))
    scale, unit = _scale(offsets[-1] + _length(found[-1]))
    rows = [f"attempt {number}" for number in range(1, len(found) + 1)]

    def place(at: datetime) -> tuple[int, float]:
        number = max((n for n, attempt in enumerate(found) if attempt.began_at <= at), default=0)
        return number, (offsets[number] + (at - found[number].began_at).total_seconds()) / scale

    starts = [_start_up(attempt) for attempt in found]
    bars = [
        _bar("start-up", MIDDLE_THIRD, rows, [each / scale for each in offsets], [each / scale for each in starts]),
        _bar(
            "at work",
            RUNNING,
            rows,
            [(offset + start) / scale for offset, start in zip(offsets, starts, strict=True)],
            [(_length(each) - start) / scale for each, start in zip(found, starts, strict=True)],
        ),
    ]
    return drawing.laid_out(
        go.Figure([*bars, *_marks(history.events, rows, place)]),
        height=150 + _ROW_PX * len(found),
        barmode="overlay",
        bargap=0.45,
        xaxis={"title": {"text": unit}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
    )


def _bar(name: str, colour: Colour, rows: Sequence[str], begins: Sequence[float], widths: Sequence[float]) -> go.Bar:
    return go.Bar(
        y=list(rows),
        base=list(begins),
        x=list(widths),
        name=name,
        orientation="h",
        marker={"color": colour.light},
        opacity=0.55,
        hoverinfo="skip",
    )


def _marks(
    events: Sequence[Event], rows: Sequence[str], place: Callable[[datetime], tuple[int, float]]
) -> Iterator[go.Scatter]:
    for kind, (name, symbol, colour) in _MARKS.items():
        marked = [event for event in events if event.kind == kind]
        if not marked:
            continue
        # What ended an attempt is of that one, though the next begins in the same moment.
        places = [_ended(place(event.at)) if kind == "restarted" else place(event.at) for event in marked]
        yield go.Scatter(
            x=[at for _, at in places],
            y=[rows[number] for number, _ in places],
            text=[_hover(event) for event in marked],
            hoverinfo="text",
            name=name,
            mode="markers",
            marker={"symbol": symbol, "size": 10, "color": colour.light, "line": {"width": 1.5, "color": colour.light}},
        )


def _ended(found: tuple[int, float]) -> tuple[int, float]:
    number, at = found
    return max(0, number - 1), at


def _hover(event: Event) -> str:
    told = happenings.line(event) or f"{event.kind}, step {event.fields.get('step', '?')}"
    return wording.safe(told if len(told) <= _MAX_HOVER else f"{told[: _MAX_HOVER - 1]}…")


def _offsets(found: Sequence[Attempt]) -> Iterator[float]:
    total = 0.0
    for attempt in found:
        yield total
        total += _length(attempt)


def _length(attempt: Attempt) -> float:
    return (attempt.ended_at - attempt.began_at).total_seconds()


def _start_up(attempt: Attempt) -> float:
    return _length(attempt) if attempt.ready_at is None else (attempt.ready_at - attempt.began_at).total_seconds()


def _scale(seconds: float) -> tuple[float, str]:
    """By what seconds are divided, and the unit then."""
    if seconds < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")
