"""What all figures of the page have in common: their layout, and ranges that one wild value does not spoil."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from eagleray.report.palette import BEST, BROKEN, FINISHED, GRID, INK, MUTED, PRUNED, RUNNING, SURFACE
from eagleray.store.sweeps import State

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
HEIGHT_PX = 420

STATE_COLOURS = {
    "finished": FINISHED,
    "pruned": PRUNED,
    "running": RUNNING,
    "unfit": BROKEN,
    "failed": BROKEN,
}
STATE_SYMBOLS = {
    "finished": "circle",
    "pruned": "x-thin",
    "running": "circle-open",
    "unfit": "square-open",
    "failed": "square-open",
}
STATES: tuple[State, ...] = ("finished", "pruned", "running", "unfit", "failed")


def laid_out(figure: go.Figure, **layout: Any) -> go.Figure:
    """Give a figure the page's looks; `layout` comes on top of it."""
    figure.update_layout(
        template="none",
        height=HEIGHT_PX,
        margin={"l": 64, "r": 24, "t": 40, "b": 52},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": INK.light},
        hovermode="closest",
        hoverlabel={
            "bgcolor": SURFACE.light,
            "bordercolor": MUTED.light,
            "align": "left",
            "font": {"color": INK.light},
        },
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        dragmode="zoom",
    )
    axis = {
        "gridcolor": GRID.light,
        "linecolor": GRID.light,
        "zeroline": False,
        "tickfont": {"color": MUTED.light},
        "title": {"font": {"color": MUTED.light, "size": 13}, "standoff": 14},
        "automargin": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure.update_layout(**layout)


def best_marker(size: int = 14) -> Mapping[str, Any]:
    """How the best trial is marked wherever it shows."""
    return {"symbol": "star", "size": size, "color": BEST.light, "line": {"width": 1, "color": SURFACE.light}}


def bounds(values: Iterable[float]) -> tuple[float, float] | None:
    """Return the range that shows all values but wild ones; None where there is no wild one.

    Wild is what lies further from the middle half than four times its width: a loss that went off.
    """
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 4:
        return None
    lower, _, upper = statistics.quantiles(known, n=4, method="inclusive")
    width = 4 * (upper - lower)
    tame = [value for value in known if lower - width <= value <= upper + width]
    if width == 0 or len(tame) == len(known):
        return None
    room = 0.06 * (max(tame) - min(tame))
    return min(tame) - room, max(tame) + room


def joined(lines: Sequence[Sequence[Any]]) -> list[Any]:
    """Put several lines into one trace: a None between two of them lifts the pen."""
    together: list[Any] = []
    for line in lines:
        together += [*line, None]
    return together[:-1]
