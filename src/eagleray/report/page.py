"""What the pages have in common: tiles, panels with a figure, and how they become one self-contained file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from eagleray.report import drawing
from eagleray.report.palette import COLOURS


@dataclass(frozen=True, slots=True)
class Tile:
    """A number that counts."""

    label: str
    number: str
    note: str = ""
    is_best: bool = False  # it is what the page is about


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure with its heading, or in words why there is none."""

    name: str
    title: str
    note: str
    figure: Any | None  # as plotly.js takes it
    height_px: int = 0
    width_px: int = 0  # at least; what is narrower is scrolled


def panel(name: str, title: str, note: str, figure: go.Figure | None, *, without: str, width_px: int = 0) -> Panel:
    """A panel; `without` is said where there is no figure."""
    if figure is None:
        return Panel(name, title, note=without, figure=None)
    # Through JSON, where plotly makes null of what is no number.
    drawn = json.loads(figure.to_json())
    return Panel(name, title, note, drawn, height_px=drawn["layout"]["height"], width_px=width_px)


def render(template: str, **values: Any) -> str:
    """Return the HTML of one file that opens without a network."""
    environment = Environment(loader=PackageLoader("eagleray.report", ""), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(template).render(
        colours=COLOURS,
        dark={colour.light: colour.dark for colour in COLOURS.values()},
        font=drawing.FONT,
        plotly_js=get_plotlyjs(),
        **values,
    )
