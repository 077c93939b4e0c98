"""What a classifier answers: which labels it takes for which, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from eagleray.report import drawing, wording
from eagleray.report.palette import FINISHED, INK, LOWER_THIRD, MUTED, SURFACE, UPPER_THIRD

MAX_LABELS = 25
"""Of a larger label set those with the most rows are drawn."""
_CELL_PX = 42
_LONGEST_LABEL = 22


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> go.Figure:
    """True labels down, answers across; the colour is the share of the true label's rows."""
    kept = _most_frequent(matrix)
    shares = [[matrix[row][column] / max(1, sum(matrix[row])) for column in kept] for row in kept]
    names = [_short(labels[number]) for number in kept]
    size = len(kept)
    heat = go.Heatmap(
        x=list(range(size)),
        y=list(range(size)),
        z=shares,
        zmin=0.0,
        zmax=1.0,
        text=[
            [_told(labels[row], labels[column], matrix[row][column], sum(matrix[row])) for column in kept]
            for row in kept
        ],
        hoverinfo="text",
        showscale=False,
        xgap=2,
        ygap=2,
        colorscale=[[0.0, SURFACE.light], [0.02, LOWER_THIRD.light], [1.0, UPPER_THIRD.light]],
    )
    ticks = {"tickvals": list(range(size)), "ticktext": names, "showgrid": False}
    return drawing.laid_out(
        go.Figure([heat]),
        height=max(300, 120 + _CELL_PX * size),
        annotations=[
            _count(matrix[row][column], x, y, is_dark=shares[y][x] > 0.5)
            for y, row in enumerate(kept)
            for x, column in enumerate(kept)
            if matrix[row][column]
        ],
        xaxis={"title": {"text": "answer"}, "side": "bottom", **ticks},
        yaxis={"title": {"text": "label"}, "autorange": "reversed", **ticks},
    )


def reliability(bins: Mapping[str, Sequence[float]]) -> go.Figure | None:
    """How many of the answers of a probability are right, beside what would be right."""
    counts, probabilities, right = bins["counts"], bins["probabilities"], bins["right"]
    kept = [number for number, count in enumerate(counts) if count]
    if not kept:
        return None
    most = max(counts)
    points = go.Scatter(
        x=[probabilities[number] for number in kept],
        y=[right[number] for number in kept],
        text=[
            f"{counts[number]:,} answers with about {probabilities[number]:.0%}: {right[number]:.0%} are right"
            for number in kept
        ],
        hoverinfo="text",
        name="answers (the larger, the more)",
        mode="lines+markers",
        line={"color": FINISHED.light, "width": 1.5},
        marker={"color": FINISHED.light, "size": [7 + 15 * (counts[number] / most) ** 0.5 for number in kept]},
    )
    diagonal = go.Scatter(
        x=[0, 1],
        y=[0, 1],
        name="as sure as right",
        mode="lines",
        hoverinfo="skip",
        line={"color": MUTED.light, "dash": "dash", "width": 1.5},
    )
    axis: dict[str, Any] = {"tickformat": ".0%", "range": [-0.03, 1.05]}
    return drawing.laid_out(
        go.Figure([diagonal, points]),
        height=360,
        xaxis={"title": {"text": "probability of the answer"}, **axis},
        yaxis={"title": {"text": "share that is right"}, **axis},
    )


def width_px(num_labels: int) -> int:
    """The least width at which the cells of a matrix can be read."""
    return 120 + 34 * min(num_labels, MAX_LABELS)


def _most_frequent(matrix: Sequence[Sequence[int]]) -> list[int]:
    by_rows = sorted(range(len(matrix)), key=lambda number: -sum(matrix[number]))
    return sorted(by_rows[:MAX_LABELS])


def _told(label: str, answer: str, count: int, rows: int) -> str:
    return wording.safe(f"{count:,} of {rows:,} rows of {label} were answered {answer}")


def _count(count: int, x: int, y: int, *, is_dark: bool) -> dict[str, Any]:
    colour = SURFACE.light if is_dark else INK.light
    return {"x": x, "y": y, "text": f"{count:,}", "showarrow": False, "font": {"size": 12, "color": colour}}


def _short(label: str) -> str:
    return wording.safe(label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…")
