"""What may a label be, and what is said of one that is not in the set?"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any, NoReturn

_SHOWN = 20  # of a large label set, so many are named in a message


def read_label(value: Any, *, column: str) -> str:
    """A label as a string: integers by their digits, booleans as `true` and `false`.

    A whole number in floating point, which tables make of integers beside empty cells, is the integer.
    """
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float() if value.is_integer():
            return str(int(value))
        case str() if value.strip():
            return value.strip()
        case None | "":
            raise ValueError(f"column `{column}` is empty: every row needs a label")
        case str():
            raise ValueError(f"column `{column}` holds nothing but white space: every row needs a label")
    raise ValueError(f"column `{column}` holds {value!r}: a label is a string, an integer or true/false")


def read_number(value: Any, *, column: str) -> float:
    """A finite number, also as text, as CSV has it."""
    if value is None or value == "":
        raise ValueError(f"column `{column}` is empty: every row needs a number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"column `{column}` holds {value!r}: regression needs a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"column `{column}` holds {value!r}: regression needs a number") from None
    if not math.isfinite(number):
        raise ValueError(f"column `{column}` holds {value!r}: regression needs a finite number")
    return number


def unknown(label: str, labels: Sequence[str]) -> NoReturn:
    """Raise the ValueError for a label that is not in the set."""
    shown = ", ".join(labels[:_SHOWN]) + (f", … ({len(labels)} in all)" if len(labels) > _SHOWN else "")
    close = difflib.get_close_matches(label, labels, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    raise ValueError(f"label `{label}` is not in the label set ({shown}){hint}")
