"""What do rounds come to? Medians, ratios of what ran in turn, and whether they are what was demanded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import median

Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""By contender and quantity, a number a round; one number where it was measured once for all rounds."""


@dataclass(frozen=True, slots=True)
class Demand:
    """`over` by `under`, each a `contender.quantity`; without `under`, what `over` itself is to be."""

    against: str  # who or what it is compared with
    over: str
    under: str = ""
    at_least: float | None = None
    at_most: float | None = None
    is_limit: bool = False  # against what nobody can beat, not against the usual way
    is_difference: bool = False  # `over` minus `under`

    @property
    def bound(self) -> str:
        """As the table says it."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "told" if self.at_most is None else f"≤ {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class Found:
    """Of the medians, and the range of the rounds' own."""

    value: float
    low: float
    high: float


def find(demand: Demand, figures: Figures) -> Found | None:
    """What the rounds came to; None where one of the two did not take part, or nothing can be divided by it."""
    over = _of(demand.over, figures)
    if not demand.under:
        return Found(median(over), min(over), max(over)) if over else None
    under = _of(demand.under, figures)
    if not over or not under or not (demand.is_difference or all(under)):
        return None
    num_rounds = max(len(over), len(under))
    pairs = zip(_spread(over, num_rounds), _spread(under, num_rounds), strict=True)
    rounds = [_compare(demand, left, right) for left, right in pairs]
    return Found(_compare(demand, median(over), median(under)), min(rounds), max(rounds))


def is_met(demand: Demand, found: Found) -> bool:
    """Whether it is what was demanded. What is only told always is."""
    if demand.at_least is not None and found.value < demand.at_least:
        return False
    return demand.at_most is None or found.value <= demand.at_most


def is_settled(demand: Demand, found: Found) -> bool:
    """Whether the rounds can be judged by: all of them give the same verdict."""
    low, high = (is_met(demand, Found(value, value, value)) for value in (found.low, found.high))
    return low == high


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """By which power of the size a cost grows at its steepest: 1 is linear, 0 is not at all.

    Of neighbouring sizes, as a fit through all would hide a bend at the end.
    """
    pairs = pairwise(zip(sizes, costs, strict=True))
    return max(log(after[1] / before[1]) / log(after[0] / before[0]) for before, after in pairs)


def _compare(demand: Demand, left: float, right: float) -> float:
    return left - right if demand.is_difference else left / right


def _of(name: str, figures: Figures) -> Sequence[float]:
    contender, _, quantity = name.partition(".")
    return figures.get(contender, {}).get(quantity, ())


def _spread(values: Sequence[float], num_rounds: int) -> Sequence[float]:
    return list(values) * num_rounds if len(values) == 1 else values
