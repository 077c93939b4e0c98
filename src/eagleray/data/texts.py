"""Where are the texts of a canonical row? Read or changed one after another, by key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from eagleray.data.encoder import Row


def of(row: Row, keys: Collection[str]) -> Iterator[str]:
    """Yield the texts of a row under these keys: a text itself, of messages what each says."""
    for key in keys:
        match row.get(key):
            case str(text):
                yield text
            case list(messages):
                yield from (message["content"] for message in messages)


def joined(row: Row, keys: Collection[str]) -> str:
    """The texts of a row as one, a line each."""
    return "\n".join(of(row, keys))


def changed(row: Row, keys: Collection[str], change: Callable[[str], str]) -> Row:
    """Return the row with `change` applied to each of its texts under these keys."""
    return {key: _changed(value, change) if key in keys else value for key, value in row.items()}


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case list():
            return [{**message, "content": change(message["content"])} for message in value]
    return value
