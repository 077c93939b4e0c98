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
