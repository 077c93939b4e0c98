"""How numbers, times and configurations are told on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec


def number(value: float) -> str:
    """Four significant digits; a whole number with all of its."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}"


def value(given: Any) -> str:
    """A value of the document, as it is written there."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int):
        return str(given)
    if isinstance(given, float):
        return f"{given:.4g}"
    if isinstance(given, Sequence) and not isinstance(given, str):
        return ", ".join(map(str, given))
    return str(given)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, of those the two largest that count."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} min"


def hours(count: float) -> str:
    """Hours with as many digits as count: no tenth of a thousand."""
    return f"{count:,.0f}" if count >= 100 else f"{count:.3g}"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def direction(objective: ObjectiveSpec) -> str:
    """Which way is better."""
    return "higher is better" if objective.mode == "max" else "lower is better"


def safe(text: str) -> str:
    """Text as it is, where plotly would take some HTML tags for its own."""
    return escape(text, quote=False)


def params_lines(params: Mapping[str, Any]) -> list[str]:
    """`key: value` for each, as text of a figure."""
    return [safe(f"{key}: {value(given)}") for key, given in params.items()]


def bounds(constraint: ConstraintSpec) -> str:
    """What a constraint allows."""
    least = "" if constraint.at_least is None else f"at least {number(constraint.at_least)}"
    most = "" if constraint.at_most is None else f"at most {number(constraint.at_most)}"
    return " and ".join(each for each in (least, most) if each)
