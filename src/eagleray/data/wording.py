"""How are names put into a message: many of them, or the one that was probably meant?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def listed(names: Sequence[str], *, limit: int) -> str:
    """Return the first names, quoted, and how many more there are."""
    if not names:
        return "nothing"
    more = len(names) - limit
    return ", ".join(map(repr, names[:limit])) + (f" and {more:,} more" if more > 0 else "")


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return " (did you mean 'label'?)" for the nearest of `allowed`, or "" where none is near."""
    close = difflib.get_close_matches(given, list(allowed), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
