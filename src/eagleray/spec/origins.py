"""Where each value of a document came from: a line of the file, `--set`, an option, or the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from eagleray.spec import paths


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gave a value."""

    kind: Literal["document", "--set", "--storage", "EAGLERAY_STORAGE", "default"]
    line: int | None = None  # of the document

    def __str__(self) -> str:
        return f"line {self.line}" if self.line is not None else self.kind


Marks = Mapping[paths.Path, Origin]
"""The origin of every node that was given: mappings and lists as well as leaves."""

DEFAULT = Origin("default")


def of_leaves(document: BaseModel, marks: Marks) -> dict[str, Origin]:
    """The origin of every leaf of a document, by its path as a user writes it, in the order of the document."""
    return {paths.text(path): marks.get(path, DEFAULT) for path, _ in leaves(document)}


def leaves(value: Any, path: paths.Path = ()) -> Iterator[tuple[paths.Path, Any]]:
    """Every value that holds no keys, with its path. A list is one value, and so is an empty mapping."""
    match value:
        case BaseModel():
            entries = [(key, getattr(value, key)) for key in type(value).model_fields]
        case dict():
            entries = list(value.items())
        case _:
            entries = []
    if not entries:
        yield path, value
    for key, entry in entries:
        yield from leaves(entry, (*path, key))


def nearest(marks: Marks, path: paths.Path) -> Origin:
    """The origin of a place, or of the closest place around it that was given."""
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path, DEFAULT)
