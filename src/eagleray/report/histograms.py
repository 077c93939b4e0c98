"""What the rows were like: how long, and of which labels."""

from __future__ import annotations

import plotly.graph_objects as go

from eagleray.data.checks import DataReport, SplitReport
from eagleray.report import drawing, wording
from eagleray.report.palette import CHANGED, FINISHED, RUNNING, Colour

MAX_LABELS = 30
_COLOURS: dict[str, Colour] = {"train": FINISHED, "validation": CHANGED, "test": RUNNING}


def lengths(data: DataReport) -> go.Figure:
    """The share of each split's rows by their number of tokens."""
    return drawing.laid_out(
        go.Figure([_bars(split, _bins(split), list(split.lengths.counts)) for split in data.splits]),
        height=300,
        barmode="group",
        bargap=0.25,
        xaxis={"title": {"text": "tokens"}, "type": "category"},
        yaxis={"title": {"text": "share of the rows"}, "tickformat": ".0%"},
    )


def labels(data: DataReport) -> go.Figure | None:
    """The share of each split's rows by their label, the most frequent first; None where the task has none."""
    first = data.splits[0].label_counts
    if not first:
        return None
    names = list(first)[:MAX_LABELS]
    return drawing.laid_out(
        go.Figure(
            [
                _bars(
                    split, [wording.safe(name) for name in names], [split.label_counts.get(name, 0) for name in names]
                )
                for split in data.splits
            ]
        ),
        height=300,
        barmode="group",
        bargap=0.25,
        xaxis={"title": {"text": "label"}, "type": "category"},
        yaxis={"title": {"text": "share of the rows"}, "tickformat": ".0%"},
    )


def _bars(split: SplitReport, names: list[str], counts: list[int]) -> go.Bar:
    rows = max(1, split.rows)
    return go.Bar(
        x=names,
        y=[count / rows for count in counts],
        text=[
            f"{split.name}, {name}: {count:,} of {split.rows:,} rows" for name, count in zip(names, counts, strict=True)
        ],
        textposition="none",
        hoverinfo="text",
        name=split.name,
        marker={"color": _COLOURS[split.name].light},
    )


def _bins(split: SplitReport) -> list[str]:
    edges = split.lengths.edges
    lows = (1, *(edge + 1 for edge in edges))
    return [*(f"{low} to {high}" for low, high in zip(lows, edges, strict=False)), f"over {edges[-1]}"]
