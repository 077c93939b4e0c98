"""What a good trial costs: the objective against the time it took, and against the second objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from eagleray.report import drawing, wording
from eagleray.report.palette import BEST, BROKEN
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import best, ranking
from eagleray.store.sweeps import State, Sweep, Trial

_UNITS = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial lies in the figure."""

    trial: Trial
    x: float
    y: float


def against_cost(sweep: Sweep, *, objective: ObjectiveSpec, ranked: Sequence[Trial]) -> go.Figure | None:
    """Draw every trial that has a value at its best, and mark the first of `ranked`; None where none has."""
    longest_s = max((trial.seconds for trial in sweep.trials), default=0.0)
    _, scale_s, unit = next(each for each in _UNITS if longest_s >= each[0])
    places = [
        Place(trial, trial.seconds / scale_s, report.metrics[objective.metric])
        for trial in sweep.trials
        if (report := ranking.best_report(trial, [objective])) is not None
    ]
    if not places:
        return None
    marked, others = _parted(places, ranked[:1])
    traces = _others(others, ranked)
    traces += [_marked(marked, f"best: trial {marked[0].trial.number}")] if marked else []
    return drawing.laid_out(
        go.Figure(traces),
        xaxis={"title": {"text": f"{unit} of training"}, "rangemode": "tozero"},
        yaxis=_metric_axis(objective, [place.y for place in places]),
    )


def against_each_other(
    sweep: Sweep, *, objectives: Sequence[ObjectiveSpec], ranked: Sequence[Trial]
) -> go.Figure | None:
    """Draw every trial that has values of the first two objectives, and mark the Pareto front; None where none has."""
    first, second = objectives[:2]
    places = [place for trial in sweep.trials if (place := _place(trial, objectives)) is not None]
    if not places:
        return None
    marked, others = _parted(places, ranking.pareto_front(ranked, objectives=objectives))
    marked.sort(key=lambda place: place.x)
    traces = _others(others, ranked)
    traces += [_front(marked, is_line=len(objectives) == 2)] if marked else []
    return drawing.laid_out(
        go.Figure(traces),
        xaxis=_metric_axis(first, [place.x for place in places]),
        yaxis=_metric_axis(second, [place.y for place in places]),
    )


def _parted(places: Sequence[Place], trials: Sequence[Trial]) -> tuple[list[Place], list[Place]]:
    """The places of these trials, and the others."""
    numbers = {trial.number for trial in trials}
    marked = [place for place in places if place.trial.number in numbers]
    return marked, [place for place in places if place.trial.number not in numbers]


def _place(trial: Trial, objectives: Sequence[ObjectiveSpec]) -> Place | None:
    report = ranking.best_report(trial, objectives)
    if report is None:
        return None
    x, y = (best.value_of(report.metrics, each.metric) for each in objectives[:2])
    return None if x is None or y is None else Place(trial, x, y)


def _metric_axis(objective: ObjectiveSpec, values: Sequence[float]) -> dict[str, Any]:
    title = wording.safe(f"{objective.metric} ({wording.direction(objective)})")
    return {"title": {"text": title}, "range": drawing.bounds(values)}


def _others(places: Sequence[Place], ranked: Sequence[Trial]) -> list[go.Scatter]:
    """A trace a state, and one of the trials that have the values and may yet not be the best."""
    can_be_best, cannot = _parted(places, ranked)
    by_state = {state: [place for place in can_be_best if place.trial.state == state] for state in drawing.STATES}
    traces = [_state_trace(state, found) for state, found in by_state.items() if found]
    marker = {"symbol": "circle-open", "size": 9, "color": BROKEN.light, "line": {"width": 2}}
    return traces + ([_points(cannot, name="not ranked", mode="markers", marker=marker)] if cannot else [])


def _state_trace(state: State, places: Sequence[Place]) -> go.Scatter:
    colour = drawing.STATE_COLOURS[state].light
    symbol = drawing.STATE_SYMBOLS[state]
    marker = {"symbol": symbol, "size": 9, "color": colour, "line": {"color": colour, "width": 2}}
    return _points(places, name=state, mode="markers", marker=marker)


def _marked(places: Sequence[Place], name: str) -> go.Scatter:
    return _points(places, name=name, mode="markers", marker=drawing.best_marker())


def _front(places: Sequence[Place], *, is_line: bool) -> go.Scatter:
    """The trials that no other beats in all; of more than two objectives a line would join what lies apart."""
    return _points(
        places,
        name=f"Pareto front ({len(places)})",
        mode="lines+markers" if is_line else "markers",
        marker=drawing.best_marker(),
        line={"color": BEST.light, "width": 1.5, "dash": "dot"},
    )


def _points(places: Sequence[Place], **looks: str | Mapping[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=[place.x for place in places],
        y=[place.y for place in places],
        text=[_hover(place.trial) for place in places],
        hoverinfo="x+y+text",
        **looks,
    )


def _hover(trial: Trial) -> str:
    cost = f"{trial.num_steps:,} steps in {wording.duration(trial.seconds)}"
    return "<br>".join([f"<b>trial {trial.number}</b>, {trial.state}, {cost}", *wording.params_lines(trial.params)])
