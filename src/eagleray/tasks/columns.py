"""What does a column of a raw row hold: a text, or a value that a table keeps as JSON?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def read_text(raw: Mapping[str, Any], column: str, *, may_be_empty: bool = False) -> str:
    """The text of a column. Raises ValueError: it is missing, empty or no text."""
    value = raw.get(column)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # a table reader took a text of digits for a number
    if value is None:
        raise ValueError(f"column `{column}` is {'empty' if column in raw else 'missing'}")
    if not isinstance(value, str):
        held = repr(value) if isinstance(value, bool) else type(value).__name__
        raise ValueError(f"column `{column}` holds {held}: text is needed")
    if not may_be_empty and not value.strip():
        raise ValueError(f"column `{column}` is empty")
    return value


def read_json(raw: Mapping[str, Any], column: str, *, wanted: str) -> Any:
    """The value of a column; where a table holds it as JSON text, what that says. `wanted` names it in messages.

    Raises:
        ValueError: it is missing, or text that is not JSON.
    """
    value = raw.get(column)
    if value is None:
        raise ValueError(f"column `{column}` is {'empty' if column in raw else 'missing'}: {wanted} is needed")
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"column `{column}` holds text that is not JSON ({error}): {wanted} is needed") from None


def read_probabilities(raw: Mapping[str, Any], column: str) -> dict[str, float]:
    """How probable each label is, by its name. Raises ValueError: it is no such object, or holds what is no share."""
    value = read_json(raw, column, wanted="an object {label: probability}")
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"column `{column}` holds {value!r}: an object {{label: probability}} is needed")
    for label, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
            raise ValueError(f"column `{column}`: {label!r} has {number!r}: a number from 0 to 1 is needed")
    if not 0.99 <= sum(value.values()) <= 1.01:
        raise ValueError(f"column `{column}`: the probabilities add up to {sum(value.values()):.4g}, not to 1")
    return {str(label): float(number) for label, number in value.items()}
