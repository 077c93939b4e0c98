"""Which values led where: a line a trial across an axis a parameter, to the objectives.

Drawn as plain lines: plotly's own parallel coordinates need WebGL, which a machine without a graphics card may lack,
tell nothing on hovering and have no place for a value that is not there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from eagleray.report import drawing, wording
from eagleray.report.palette import BEST, BROKEN, LOWER_THIRD, MIDDLE_THIRD, MUTED, SURFACE, UPPER_THIRD
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import best, ranking
from eagleray.store.sweeps import Sweep, Trial

AXIS_PX = 116  # below that titles and ticks of neighbours touch

_MISSING_PLACE = -0.14
_FEW = 8  # whole numbers that are told one by one
_LOG_RATIO = 20  # from which on a range of positive numbers is one of orders of magnitude
_LONGEST_WORD = 14


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the trials lie on one axis, from 0 to 1; below 0 where they have no value."""

    title: str
    places: Mapping[int, float]  # by number of the trial
    ticks: Sequence[tuple[float, str]]


def figure(sweep: Sweep, *, objectives: Sequence[ObjectiveSpec], ranked: Sequence[Trial]) -> go.Figure | None:
    """Draw every trial, coloured by its rank; None where nothing was searched."""
    drawn = axes(sweep.trials, objectives=objectives)
    if len(drawn) == len(objectives):
        return None
    lowest = min(place for axis in drawn for place, _ in axis.ticks)
    return drawing.laid_out(
        go.Figure(_traces(drawn, sweep.trials, ranked)),
        margin={"l": 96, "r": 64, "t": 56, "b": 16},
        xaxis={"visible": False, "range": [-0.02, len(drawn) - 0.98], "fixedrange": True},
        yaxis={"visible": False, "range": [lowest - 0.06, 1.28], "fixedrange": True},
        shapes=[_axis_line(place) for place in range(len(drawn))],
        annotations=[each for place, axis in enumerate(drawn) for each in _annotations(place, axis)],
        dragmode=False,
    )


def axes(trials: Sequence[Trial], *, objectives: Sequence[ObjectiveSpec]) -> list[Axis]:
    """One axis for each parameter that any trial has, then one for each objective."""
    keys = dict.fromkeys(key for trial in trials for key in trial.params)
    params = [_axis(_title(key), {trial.number: trial.params.get(key) for trial in trials}) for key in keys]
    return params + [_objective_axis(each, trials, objectives) for each in objectives]


def _objective_axis(objective: ObjectiveSpec, trials: Sequence[Trial], objectives: Sequence[ObjectiveSpec]) -> Axis:
    reports = {trial.number: ranking.best_report(trial, objectives) for trial in trials}
    values = {
        number: best.value_of(report.metrics, objective.metric) if report else None
        for number, report in reports.items()
    }
    arrow = "↑" if objective.mode == "max" else "↓"
    return _scale(f"{_title(objective.metric)} {arrow}", values, missing="no value")


def _axis(title: str, values: Mapping[int, Any]) -> Axis:
    known = [value for value in values.values() if value is not None]
    if all(_is_number(value) for value in known) and not _are_few_whole(known):
        return _scale(title, values, missing="not set")
    return _list(title, values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_few_whole(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int) for value in values) and len(set(values)) <= _FEW


def _scale(title: str, values: Mapping[int, float | None], *, missing: str) -> Axis:
    """Numbers at their places, by orders of magnitude where they span several."""
    known = [value for value in values.values() if value is not None]
    if not known:
        return Axis(title, dict.fromkeys(values, _MISSING_PLACE), [(_MISSING_PLACE, missing)])
    low, high = min(known), max(known)
    if low == high:
        return _placed(title, values, {low: 0.5}, missing=missing)
    is_log = low > 0 and high / low >= _LOG_RATIO
    places = {value: _share(value, low, high, is_log=is_log) for value in known}
    ticks = [(share, f"{_at(share, low, high, is_log=is_log):.3g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    axis = _placed(title, values, places, missing=missing)
    return Axis(title, axis.places, ticks + [tick for tick in axis.ticks if tick[0] < 0])


def _share(value: float, low: float, high: float, *, is_log: bool) -> float:
    if is_log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _at(share: float, low: float, high: float, *, is_log: bool) -> float:
    return float(low * (high / low) ** share) if is_log else low + share * (high - low)


def _list(title: str, values: Mapping[int, Any]) -> Axis:
    """Values one above the other, each as far from the next."""
    known = {_key(value): value for value in values.values() if value is not None}
    numbers = sorted((key for key in known if _is_number(known[key])), key=lambda key: float(known[key]))
    in_order = numbers + sorted(key for key in known if not _is_number(known[key]))
    last = len(in_order) - 1
    places = {key: number / last if last else 0.5 for number, key in enumerate(in_order)}
    told = {number: None if value is None else _key(value) for number, value in values.items()}
    return _placed(title, told, places, missing="not set")


def _key(value: Any) -> str:
    return wording.value(value)


def _placed(title: str, values: Mapping[int, Any], places: Mapping[Any, float], *, missing: str) -> Axis:
    ticks = [(place, _short(wording.value(value))) for value, place in places.items()]
    if None in values.values():
        ticks.append((_MISSING_PLACE, missing))
    by_trial = {number: _MISSING_PLACE if value is None else places[value] for number, value in values.items()}
    return Axis(title, by_trial, ticks)


def _short(text: str) -> str:
    return wording.safe(text if len(text) <= _LONGEST_WORD else f"{text[: _LONGEST_WORD - 1]}…")


def _title(key: str) -> str:
    """A key of the document on several lines."""
    words = wording.safe(key).split(".")
    return ".<br>".join(word if len(word) <= _LONGEST_WORD else word.replace("_", "_<br>") for word in words)


def _traces(drawn: Sequence[Axis], trials: Sequence[Trial], ranked: Sequence[Trial]) -> list[go.Scatter]:
    """One trace a third of the ranks, the worst first, so that the best lie on top; the legend begins with the best."""
    numbers = {trial.number for trial in ranked}
    rest = [trial for trial in trials if trial.number not in numbers]
    third = math.ceil((len(ranked) - 1) / 3)
    others = ranked[1:]
    groups = [
        ("not ranked", rest, {"color": BROKEN.light, "width": 1, "dash": "dot"}),
        ("lower third", others[2 * third :], {"color": LOWER_THIRD.light, "width": 1.5}),
        ("middle third", others[third : 2 * third], {"color": MIDDLE_THIRD.light, "width": 1.5}),
        ("upper third", others[:third], {"color": UPPER_THIRD.light, "width": 1.5}),
        ("best", ranked[:1], {"color": BEST.light, "width": 3}),
    ]
    traces = [_trace(drawn, name, chosen, line) for name, chosen, line in groups if chosen]
    return [trace.update(legendrank=rank) for rank, trace in zip(range(len(traces), 0, -1), traces, strict=True)]


def _trace(drawn: Sequence[Axis], name: str, trials: Sequence[Trial], line: Mapping[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=drawing.joined([list(range(len(drawn))) for _ in trials]),
        y=drawing.joined([[axis.places[trial.number] for axis in drawn] for trial in trials]),
        text=drawing.joined([[_hover(trial)] * len(drawn) for trial in trials]),
        name=f"best: trial {trials[0].number}" if name == "best" else f"{name} ({len(trials)})",
        mode="lines+markers",
        line=line,
        marker={"color": line["color"], "size": 5},
        hoverinfo="text",
    )


def _hover(trial: Trial) -> str:
    return "<br>".join([f"<b>trial {trial.number}</b>, {trial.state}", *wording.params_lines(trial.params)])


def _axis_line(place: int) -> dict[str, Any]:
    line = {"color": MUTED.light, "width": 1}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "layer": "below", "line": line}


def _annotations(place: int, axis: Axis) -> list[dict[str, Any]]:
    title = {"x": place, "y": 1.05, "text": axis.title, "yanchor": "bottom", "font": {"size": 12}, "showarrow": False}
    ticks = [
        {
            "x": place,
            "y": at,
            "text": text,
            "xanchor": "right",
            "xshift": -6,
            "showarrow": False,
            "font": {"size": 11, "color": MUTED.light},
            "bgcolor": SURFACE.light,
            "borderpad": 1,
        }
        for at, text in axis.ticks
    ]
    return [title, *ticks]
