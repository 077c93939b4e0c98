"""Which raw rows stay by `data.keep`: those whose named columns hold one of the values named for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from eagleray.data.wording import did_you_mean, listed
from eagleray.errors import DataError

MAX_SEEN = 1_000
"""Different values of a column that are remembered to be shown in an error."""


class Keep:
    """The filter, and what it saw."""

    def __init__(self, keep: Mapping[str, Collection[str]]) -> None:
        self._keep = {column: frozenset(values) for column, values in keep.items()}
        self._seen: dict[str, dict[str, int]] = {column: {} for column in keep}
        self.num_dropped = 0

    def has(self, raw: Mapping[str, Any]) -> bool:
        """Whether a row stays; values are compared as the document writes them."""
        stays = True
        for column, wanted in self._keep.items():
            value = _as_text(raw[column])
            seen = self._seen[column]
            if value in seen or value in wanted or len(seen) < MAX_SEEN:
                seen[value] = seen.get(value, 0) + 1
            stays = stays and value in wanted
        self.num_dropped += not stays
        return stays

    def check(self) -> None:
        """Raise DataError for values that no row had: a misspelt one would silently drop rows."""
        for column, wanted in self._keep.items():
            seen = self._seen[column]
            absent = sorted(wanted - seen.keys())
            if absent:
                common = sorted(seen, key=lambda value: -seen[value])
                raise DataError(
                    f"spec.data.keep: no row has {' or '.join(map(repr, absent))} in column {column!r}"
                    f"{did_you_mean(absent[0], common)}; it holds {listed(common, limit=10)}"
                )


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
