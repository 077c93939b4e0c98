"""A document as text with the origin of each value beside it, readable at 80 columns. The text is YAML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from eagleray.spec import paths
from eagleray.spec.finetune import FineTune
from eagleray.spec.origins import Origin
from eagleray.spec.yaml_text import Dumper

# Origins stand in one column; "# EAGLERAY_STORAGE" still ends before column 80.
_ORIGIN_COLUMN = 60
_INDENT = "  "


def render(document: FineTune, *, origins: Mapping[str, Origin]) -> str:
    """Block YAML, each value followed by its origin as a comment."""
    return "\n".join(_lines(document.model_dump(mode="json"), (), origins))


def _lines(values: Mapping[str, Any], path: paths.Path, origins: Mapping[str, Origin]) -> Iterator[str]:
    indent = _INDENT * len(path)
    for key, value in values.items():
        here = (*path, key)
        head = f"{indent}{_scalar(key)}:"
        if isinstance(value, dict) and value:
            yield head
            yield from _lines(value, here, origins)
            continue
        origin = origins[paths.text(here)]
        yield from _leaf(head, value, indent=indent + _INDENT, origin=origin)


def _leaf(head: str, value: Any, *, indent: str, origin: Origin) -> Iterator[str]:
    """One line where it fits; else the value goes below its key, so that the origins stay in their column."""
    written = f"{head} {_scalar(value)}"
    if len(written) < _ORIGIN_COLUMN:
        yield f"{written.ljust(_ORIGIN_COLUMN)}# {origin}"
        return
    yield f"{head.ljust(_ORIGIN_COLUMN)}# {origin}"
    if isinstance(value, list):
        yield from (f"{indent}- {_scalar(entry)}" for entry in value)
    else:
        yield f"{indent}{_scalar(value)}"


def _scalar(value: Any) -> str:
    """A value in one line of YAML."""
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, allow_unicode=True, width=float("inf"))
    # PyYAML breaks a text with line ends over several lines, even in flow style; JSON does not, and is YAML.
    text = text.removesuffix("...\n").removesuffix("\n")
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text
