"""What is done to an image before it is trained on? Follows from seed, epoch and sample, so a restart sees the same."""

from __future__ import annotations

import math

from eagleray.data import draws

Box = tuple[int, int, int, int]
"""Top, left, height, width."""


def box(height: int, width: int, *, smallest_share: float, draw: tuple[object, ...]) -> Box:
    """A part of an image of the same shape, with a share of its area between `smallest_share` and 1."""
    share, across, down = draws.uniforms(3, "crop", *draw)
    side = math.sqrt(smallest_share + (1.0 - smallest_share) * share)
    kept = max(round(height * side), 1), max(round(width * side), 1)
    return round((height - kept[0]) * down), round((width - kept[1]) * across), *kept


def is_flipped(*, draw: tuple[object, ...]) -> bool:
    """Whether left and right are turned: with a chance of a half."""
    return bool(draws.uniforms(1, "flip", *draw)[0] < 0.5)
