"""How a run learned: losses, its metric, the learning rate and the gradients over the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from eagleray.report import drawing, wording
from eagleray.report.history import History
from eagleray.report.palette import CHANGED, FINISHED, LOWER_THIRD, MUTED, RUNNING, UPPER_THIRD

SMALL_PX = 300
_MAX_POINTS = 2000
"""A line of more points looks no different and makes the page heavy."""
_LAYER_PX = 17

Point = tuple[int, float]


def losses(history: History) -> go.Figure | None:
    """The loss of training and of the validation rows, the steps of the checkpoints and the best of them."""
    training, validation = history.figures("loss"), history.evaluations("loss")
    if not (training or validation):
        return None
    traces = [_line(training, "training", FINISHED.light)] if training else []
    traces += [_line(validation, "validation", CHANGED.light, mode="lines+markers")] if validation else []
    traces += _at_best(history, validation, "loss")
    shown = drawing.bounds([value for _, value in (*training, *validation)])
    if shown is not None:  # where a run began is no outlier
        shown = shown[0], max(shown[1], *(1.05 * points[0][1] for points in (training, validation) if points))
    return drawing.laid_out(
        go.Figure(traces),
        xaxis={"title": {"text": "step"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "loss"}, "range": shown},
    )


def metric(history: History, name: str) -> go.Figure | None:
    """A metric of the validation rows."""
    points = history.evaluations(name)
    if not points:
        return None
    traces = [_line(points, name, CHANGED.light, mode="lines+markers"), *_at_best(history, points, name)]
    return _small(traces, title=name, values=[value for _, value in points])


def rate(history: History) -> go.Figure | None:
    """The learning rate as it was."""
    points = history.figures("learning_rate")
    return _small([_line(points, "learning rate", RUNNING.light)], title="learning rate") if points else None


def norms(history: History) -> go.Figure | None:
    """The norm of the whole gradient before clipping, and the limit."""
    points = history.figures("gradient_norm")
    if not points:
        return None
    traces = [_line(points, "norm", FINISHED.light)]
    clip = history.key("train.gradient_clip")
    if clip is not None:
        ends = [points[0][0], points[-1][0]]
        line = {"color": MUTED.light, "width": 1.5, "dash": "dash"}
        traces.append(go.Scatter(x=ends, y=[clip, clip], name="limit (gradient_clip)", mode="lines", line=line))
    is_wide = _spans_orders([value for _, value in points])
    return _small(traces, title="norm of the gradient", yaxis={"type": "log"} if is_wide else {})


def layers(history: History) -> go.Figure | None:
    """The norm of each layer's gradient as colours, by orders of magnitude, the first layer on top."""
    measured = history.layers()
    if not measured:
        return None
    names = list(measured[0][1])
    values = [[_log(norms.get(name)) for _, norms in measured] for name in names]
    heat = go.Heatmap(
        x=list(range(len(measured))),
        y=[wording.safe(name) for name in names],
        z=values,
        text=[
            [f"{wording.safe(name)}<br>step {step}: {norms.get(name, math.nan):.3g}" for step, norms in measured]
            for name in names
        ],
        hoverinfo="text",
        colorscale=[[0.0, LOWER_THIRD.light], [1.0, UPPER_THIRD.light]],
        colorbar={"title": {"text": "norm", "side": "right"}, "thickness": 12, **_decades(values)},
    )
    shown = sorted({round(number * (len(measured) - 1) / 5) for number in range(6)})
    ticks = {"tickvals": shown, "ticktext": [str(measured[number][0]) for number in shown]}
    return drawing.laid_out(
        go.Figure([heat]),
        height=130 + _LAYER_PX * len(names),
        xaxis={"title": {"text": "step"}, "showgrid": False, **ticks},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False, "tickfont": {"size": 11}},
    )


def _line(points: Sequence[Point], name: str, colour: str, *, mode: str = "lines") -> go.Scatter:
    kept = _thinned(points)
    return go.Scatter(
        x=[step for step, _ in kept],
        y=[value for _, value in kept],
        name=wording.safe(name),
        mode=mode,
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": 5},
        hovertemplate=f"step %{{x}}<br>{wording.safe(name)}: %{{y:.4g}}<extra></extra>",
    )


def _at_best(history: History, points: Sequence[Point], name: str) -> list[go.Scatter]:
    """A star at the evaluation of the checkpoint that the run kept."""
    value = dict(points).get(history.record.best_step or -1)
    if value is None:
        return []
    step = history.record.best_step
    told = f"best checkpoint, step {step}<br>{wording.safe(name)}: {value:.4g}"
    marker = drawing.best_marker()
    return [
        go.Scatter(
            x=[step], y=[value], text=[told], name="best checkpoint", mode="markers", marker=marker, hoverinfo="text"
        )
    ]


def _small(
    traces: Sequence[go.Scatter], *, title: str, values: Sequence[float] = (), yaxis: dict[str, Any] | None = None
) -> go.Figure:
    return drawing.laid_out(
        go.Figure(list(traces)),
        height=SMALL_PX,
        showlegend=len(traces) > 1,
        xaxis={"title": {"text": "step"}, "rangemode": "tozero"},
        yaxis={
            "title": {"text": wording.safe(title)},
            "range": drawing.bounds(values),
            "exponentformat": "e",
            **(yaxis or {}),
        },
    )


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most so many points: of each run of neighbours the one that is furthest from the first, so that peaks stay."""
    if len(points) <= _MAX_POINTS:
        return points
    width = -(-len(points) // _MAX_POINTS)
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return [max(group, key=lambda point: _distance(point[1], group[0][1])) for group in groups]


def _distance(value: float, other: float) -> float:
    return abs(value - other) if math.isfinite(value - other) else math.inf


def _spans_orders(values: Sequence[float]) -> bool:
    known = [value for value in values if math.isfinite(value) and value > 0]
    return bool(known) and max(known) > 100 * min(known)


def _log(norm: float | None) -> float | None:
    return math.log10(norm) if norm is not None and math.isfinite(norm) and norm > 0 else None


def _decades(values: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """Ticks of the colours at whole orders of magnitude, or at the ends where there are not two of these."""
    known = [value for row in values for value in row if value is not None]
    if not known:
        return {}
    low, high = min(known), max(known)
    whole = list(range(math.ceil(low), math.floor(high) + 1))
    ticks = [float(each) for each in whole[:: max(1, len(whole) // 6)]] if len(whole) > 1 else [low, high]
    return {"tickvals": ticks, "ticktext": [f"{10**tick:.2g}" for tick in ticks]}
