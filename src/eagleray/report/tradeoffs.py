"""What a good trial costs: the objective against the time it took, or against the second objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from eagleray.report import drawing, wording
from eagleray.report.palette import BEST
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import best, ranking
from eagleray.store.sweeps import State, Sweep, Trial

_UNITS = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial lies in the figure."""

    trial: Trial
    x: float
    y: float


def figure(
    sweep: Sweep, *, objectives: Sequence[ObjectiveSpec], constraints: Sequence[ConstraintSpec] = ()
) -> go.Figure | None:
    """Draw every trial that has the values; None where none has."""
    if len(objectives) > 1:
        return _against_each_other(sweep, objectives, constraints)
    return _against_cost(sweep, objectives[0], constraints)


def _against_cost(sweep: Sweep, objective: ObjectiveSpec, constraints: Sequence[ConstraintSpec]) -> go.Figure | None:
    longest_s = max((trial.seconds for trial in sweep.trials), default=0.0)
    _, scale_s, unit = next(each for each in _UNITS if longest_s >= each[0])
    places = [
        Place(trial, trial.seconds / scale_s, report.metrics[objective.metric])
        for trial in sweep.trials
        if (report := ranking.best_report(trial, [objective])) is not None
    ]
    if not places:
        return None
    top = ranking.ranked(sweep.trials, objectives=[objective], constraints=constraints)[:1]
    marked = [place for place in places if place.trial in top]
    traces = _by_state([place for place in places if place not in marked])
    traces += [_marked(marked, f"best: trial {marked[0].trial.number}")] if marked else []
    return drawing.laid_out(
        go.Figure(traces),
        xaxis={"title": {"text": f"{unit} of training"}, "rangemode": "tozero"},
        yaxis=_metric_axis(objective, [place.y for place in places]),
    )


def _against_each_other(
    sweep: Sweep, objectives: Sequence[ObjectiveSpec], constraints: Sequence[ConstraintSpec]
) -> go.Figure | None:
    first, second = objectives[:2]
    places = [place for trial in sweep.trials if (place := _place(trial, objectives)) is not None]
    if not places:
        return None
    front = ranking.pareto_front(sweep.trials, objectives=objectives, constraints=constraints)
    on_front = sorted((place for place in places if place.trial in front), key=lambda place: place.x)
    traces = _by_state([place for place in places if place.trial not in front])
    traces += [_front(on_front, is_line=len(objectives) == 2)] if on_front else []
    return drawing.laid_out(
        go.Figure(traces),
        xaxis=_metric_axis(first, [place.x for place in places]),
        yaxis=_metric_axis(second, [place.y for place in places]),
    )


def _place(trial: Trial, objectives: Sequence[ObjectiveSpec]) -> Place | None:
    report = ranking.best_report(trial, objectives)
    if report is None:
        return None
    x, y = (best.value_of(report.metrics, each.metric) for each in objectives[:2])
    return None if x is None or y is None else Place(trial, x, y)


def _metric_axis(objective: ObjectiveSpec, values: Sequence[float]) -> dict[str, Any]:
    title = wording.safe(f"{objective.metric} ({wording.direction(objective)})")
    return {"title": {"text": title}, "range": drawing.bounds(values)}


def _by_state(places: Sequence[Place]) -> list[go.Scatter]:
    chosen = {state: [place for place in places if place.trial.state == state] for state in drawing.STATES}
    return [_state_trace(state, found) for state, found in chosen.items() if found]


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
