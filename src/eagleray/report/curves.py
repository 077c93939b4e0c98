"""How each trial learned: its objective over the steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go

from eagleray.report import drawing, wording
from eagleray.report.palette import BEST, CHANGED
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import best
from eagleray.store.sweeps import Change, State, Sweep, Trial

_DASHES = {"finished": "solid", "pruned": "dash", "running": "solid", "unfit": "dot", "failed": "dot"}

Point = tuple[int, float]


def figure(sweep: Sweep, *, objective: ObjectiveSpec, best_trial: Trial | None) -> go.Figure | None:
    """Draw every trial that has a value; None where none has.

    Pruned trials are dashed and end in a cross; where population based training changed a trial there is a diamond.
    """
    metric = objective.metric
    drawn = [trial for trial in sweep.trials if points(trial, metric)]
    if not drawn:
        return None
    others = [trial for trial in drawn if best_trial is None or trial.number != best_trial.number]
    traces = [_lines(others, state, metric) for state in drawing.STATES if any(each.state == state for each in others)]
    traces += _ends(others, metric)
    if best_trial is not None:
        traces += _highlighted(best_trial, objective)
    traces += _changes(drawn, metric)
    values = [value for trial in drawn for _, value in points(trial, metric)]
    return drawing.laid_out(
        go.Figure(traces),
        xaxis={"title": {"text": "step"}, "rangemode": "tozero"},
        yaxis={"title": {"text": wording.safe(metric)}, "range": drawing.bounds(values)},
    )


def points(trial: Trial, metric: str) -> list[Point]:
    """The evaluations that have a value."""
    told = [(report.step, best.value_of(report.metrics, metric)) for report in trial.reports]
    return [(step, value) for step, value in told if value is not None]


def _lines(trials: Sequence[Trial], state: State, metric: str) -> go.Scatter:
    """All trials of one state as one trace: thousands draw as fast as a few."""
    chosen = [trial for trial in trials if trial.state == state]
    lines = [points(trial, metric) for trial in chosen]
    colour = drawing.STATE_COLOURS[state].light
    return go.Scatter(
        x=drawing.joined([[step for step, _ in line] for line in lines]),
        y=drawing.joined([[value for _, value in line] for line in lines]),
        text=drawing.joined([[_hover(trial, metric, point) for point in points(trial, metric)] for trial in chosen]),
        name=state,
        legendgroup=state,
        mode="lines+markers",
        line={"color": colour, "width": 1.5, "dash": _DASHES[state]},
        marker={"color": colour, "size": 4},
        opacity=0.8,
        hoverinfo="text",
    )


def _ends(trials: Sequence[Trial], metric: str) -> Iterator[go.Scatter]:
    """A cross where a trial was pruned."""
    pruned = [trial for trial in trials if trial.state == "pruned"]
    if not pruned:
        return
    ends = [points(trial, metric)[-1] for trial in pruned]
    colour = drawing.STATE_COLOURS["pruned"].light
    yield go.Scatter(
        x=[step for step, _ in ends],
        y=[value for _, value in ends],
        text=[_hover(trial, metric, end) for trial, end in zip(pruned, ends, strict=True)],
        legendgroup="pruned",
        showlegend=False,
        mode="markers",
        marker={"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": colour}},
        hoverinfo="text",
    )


def _highlighted(trial: Trial, objective: ObjectiveSpec) -> Iterator[go.Scatter]:
    """The best trial, and a star at the evaluation that it is the best for."""
    line = points(trial, objective.metric)
    top = best.pick(trial.reports, metric=objective.metric, mode=objective.mode)
    yield go.Scatter(
        x=[step for step, _ in line],
        y=[value for _, value in line],
        text=[_hover(trial, objective.metric, point) for point in line],
        name=f"best: trial {trial.number}",
        legendgroup="best",
        mode="lines+markers",
        line={"color": BEST.light, "width": 3},
        marker={"color": BEST.light, "size": 5},
        hoverinfo="text",
    )
    if top is not None:
        yield go.Scatter(
            x=[top.step],
            y=[top.metrics[objective.metric]],
            text=[_hover(trial, objective.metric, (top.step, top.metrics[objective.metric]))],
            legendgroup="best",
            showlegend=False,
            mode="markers",
            marker=drawing.best_marker(),
            hoverinfo="text",
        )


def _changes(trials: Sequence[Trial], metric: str) -> Iterator[go.Scatter]:
    """A diamond where a trial went on from another's checkpoint."""
    changes = [(trial, change) for trial in trials for change in trial.changes]
    if not changes:
        return
    yield go.Scatter(
        x=[change.step for _, change in changes],
        y=[_value_at(trial, metric, change.step) for trial, change in changes],
        text=[_change_hover(trial, change) for trial, change in changes],
        name="changed",
        mode="markers",
        marker={"symbol": "diamond", "size": 9, "color": CHANGED.light},
        hoverinfo="text",
    )


def _value_at(trial: Trial, metric: str, step: int) -> float:
    """The last value until a step, else the first of all."""
    line = points(trial, metric)
    return next((value for at, value in reversed(line) if at <= step), line[0][1])


def _hover(trial: Trial, metric: str, point: Point) -> str:
    step, value = point
    lines = [f"<b>trial {trial.number}</b>, {trial.state}", f"step {step}", wording.safe(f"{metric}: {value:.4g}")]
    return "<br>".join([*lines, *wording.params_lines(trial.params)])


def _change_hover(trial: Trial, change: Change) -> str:
    title = f"<b>trial {trial.number}</b> at step {change.step}: went on from trial {change.donor} with"
    return "<br>".join([title, *wording.params_lines(change.params)])
