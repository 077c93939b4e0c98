"""How a place in a document is written: `spec.train.learning_rate`, `spec.task.labels[0]`."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
"""Keys and list positions from the root: ("spec", "task", "labels", 0)."""

_PLAIN_KEY = re.compile(r"[^\s.\"\[\]=]+")
_STEP = re.compile(r'"(?P<quoted>[^"]+)"|(?P<plain>[^\s."\[\]=]+)')
_ANY = re.compile(_STEP.pattern + r"|\[(?P<index>\d+)\]")


def text(path: Path) -> str:
    """The place as a user writes it; a key that holds a dot is quoted, as in `keep."a.b"`."""
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
            continue
        key = step if _PLAIN_KEY.fullmatch(step) else f'"{step}"'
        written += f".{key}" if written else key
    return written


def parse(written: str) -> Path:
    """The place that `text` writes: the inverse of it."""
    steps = _ANY.finditer(written)
    return tuple(int(step["index"]) if step["index"] else step["quoted"] or step["plain"] for step in steps)


def keys(written: str) -> tuple[str, ...]:
    """The keys of a dotted path: `a."b.c"` is ("a", "b.c"). Raises ValueError where it is none."""
    found: list[str] = []
    position = 0
    while match := _STEP.match(written, position):
        found.append(match["quoted"] or match["plain"])
        if match.end() == len(written):
            return tuple(found)
        if written[match.end()] != ".":
            break
        position = match.end() + 1
    raise ValueError(f"{written!r} is no path: write keys joined by dots, as in train.learning_rate")
