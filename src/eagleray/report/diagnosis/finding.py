"""What is a finding about a run?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Severity = Literal["problem", "warning", "note"]

Point = tuple[int, float]
"""A step, and a value there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that somebody who trains should know."""

    severity: Severity
    what: str
    evidence: str
    """The numbers that it is told by, and where it opened."""
    advice: str
    """What to do: names keys of the document."""
    step: int | None = None
    """Where it opened."""


def finite(points: Sequence[Point]) -> list[Point]:
    """The points whose value is a finite number."""
    return [(step, value) for step, value in points if math.isfinite(value)]


def mean(points: Sequence[Point]) -> float:
    """The mean value of some points; there is at least one."""
    return sum(value for _, value in points) / len(points)


def parts(points: Sequence[Point], count: int) -> list[Sequence[Point]]:
    """Cut into `count` parts of about the same number of points; there are at least as many."""
    edges = [len(points) * number // count for number in range(count + 1)]
    return [points[start:stop] for start, stop in pairwise(edges)]
