"""Which colours the page and its figures have, by day and by night."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """One thing's colour on a light and on a dark ground.

    Figures are drawn in the light ones. The page exchanges them by their value, so no two things share a light one.
    """

    light: str
    dark: str


PAGE = Colour("#f6f6f4", "#141619")
SURFACE = Colour("#ffffff", "#1c1f23")
INK = Colour("#1f2328", "#e4e7eb")
MUTED = Colour("#5c6570", "#9ba4ae")
GRID = Colour("#e7e8ea", "#2d3237")

BEST = Colour("#d4500c", "#ff9a5c")
FINISHED = Colour("#2a6db0", "#74ade8")
PRUNED = Colour("#8d96a0", "#77818c")
RUNNING = Colour("#0b8574", "#43c4ae")
BROKEN = Colour("#bf2a55", "#f4789b")  # failed or unfit
CHANGED = Colour("#7147b5", "#b79cf7")

UPPER_THIRD = Colour("#1d5fa3", "#7db8f5")
MIDDLE_THIRD = Colour("#86add6", "#48719f")
LOWER_THIRD = Colour("#c6ccd3", "#454c54")

COLOURS = {
    "page": PAGE,
    "surface": SURFACE,
    "ink": INK,
    "muted": MUTED,
    "grid": GRID,
    "best": BEST,
    "finished": FINISHED,
    "pruned": PRUNED,
    "running": RUNNING,
    "broken": BROKEN,
    "changed": CHANGED,
    "upper-third": UPPER_THIRD,
    "middle-third": MIDDLE_THIRD,
    "lower-third": LOWER_THIRD,
}
