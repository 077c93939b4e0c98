"""Every key of a document with its type, its default and what it means: `docs/reference.md`, read out of the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eagleray.spec import json_schema

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
Schema = dict[str, Any]

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_NAMES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def page() -> str:
    """`docs/reference.md`: a section a mapping, in the order in which a document comes to them."""
    schema = json_schema.schema()
    places = _places(schema)
    lines = [
        "# Every key of a document",
        "",
        "Written by `make reference` from the models of the documents, as `eagleray schema` is. A key without a",
        "default that is not *required* may be left out; `type` chooses among the mappings that a key may have.",
        "",
        "Combinations that do not work are refused with a reason: [errors](errors.md).",
    ]
    for name, where in places.items():
        lines += ["", *_section(name, schema["$defs"], where)]
    return "\n".join([*lines, ""])


def keys() -> set[str]:
    """The path of every key, as `spec.train.epochs`."""
    schema = json_schema.schema()
    return {
        f"{place}.{key}".removeprefix(".")
        for name, where in _places(schema).items()
        for place in where
        for key in schema["$defs"][name].get("properties", {})
    }


def _places(schema: Schema) -> dict[str, list[str]]:
    """Each mapping with fixed keys, and where it can stand; breadth first, so that the roots come first."""
    found: dict[str, list[str]] = {}
    waiting = [("", _name(option)) for option in schema["oneOf"]]
    while waiting:
        place, name = waiting.pop(0)
        if place in found.setdefault(name, []):
            continue
        found[name].append(place)
        for key, entry in schema["$defs"][name].get("properties", {}).items():
            waiting += [(f"{place}.{key}".removeprefix("."), each) for each in _mappings(entry, schema)]
    return {name: where for name, where in found.items() if "properties" in schema["$defs"][name]}


def _mappings(entry: Any, schema: Schema) -> Iterator[str]:
    if isinstance(entry, list):
        for each in entry:
            yield from _mappings(each, schema)
    if not isinstance(entry, dict):
        return
    if "$ref" in entry and "properties" in schema["$defs"][_name(entry)]:
        yield _name(entry)
    elif "$ref" in entry:
        yield from _mappings(schema["$defs"][_name(entry)], schema)
    for key in ("oneOf", "anyOf", "items", "prefixItems", "additionalProperties"):
        yield from _mappings(entry.get(key), schema)


def _section(name: str, defs: Schema, where: list[str]) -> Iterator[str]:
    mapping = defs[name]
    chosen = mapping["properties"].get("type", {}).get("const")
    at = ", ".join(f"`{place}`" for place in where if place) or f"a document of kind {name.removesuffix('Document')}"
    yield f"## {name}"
    yield ""
    yield f"{mapping.get('description', '')}"
    yield ""
    yield f"At {at}{f', with `type: {chosen}`' if chosen else ''}." if any(where) else f"The root: {at}."
    yield ""
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, entry in mapping["properties"].items():
        default = "*required*" if key in mapping.get("required", []) else _default(entry, defs)
        yield f"| `{key}` | {_cell(_type(entry))} | {default} | {_cell(entry.get('description', ''))} |"


def _type(entry: Schema) -> str:
    if "$ref" in entry:
        return f"[{_name(entry)}](#{_name(entry).lower()})"
    if "const" in entry:
        return f"`{json.dumps(entry['const']).strip(chr(34))}`"
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    options = entry.get("oneOf") or entry.get("anyOf")
    if options:
        return " or ".join(dict.fromkeys(_type(each) for each in options if each.get("type") != "null"))
    if entry.get("type") == "array":
        return f"list of {_type(entry['items'])}" if entry.get("items") else "list"
    if entry.get("type") == "object":
        inner = entry.get("additionalProperties")
        return f"mapping of {_type(inner)}" if isinstance(inner, dict) else "mapping"
    bounds = " and ".join(f"{sign} {entry[bound]:g}" for bound, sign in _BOUNDS.items() if bound in entry)
    return " ".join(filter(None, (_NAMES.get(entry.get("type", ""), "any value"), bounds)))


def _default(entry: Schema, defs: Schema) -> str:
    """A mapping's is told by what differs from the defaults of its own keys."""
    if "default" not in entry:
        return ""
    if isinstance(entry["default"], dict):
        chosen = entry["default"].get("type")
        if chosen:
            return f"`{{type: {chosen}}}`"
        if "$ref" not in entry:
            return "`{}`"
        keys = defs[_name(entry)]["properties"]
        own = [f"{key}: {value}" for key, value in entry["default"].items() if value != keys[key].get("default")]
        return f"`{{{', '.join(own)}}}`" if own else "that of each key"
    return f"`{json.dumps(entry['default'], ensure_ascii=False)}`".replace("|", "\\|")


def _name(entry: Schema) -> str:
    return str(entry["$ref"].rpartition("/")[2])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
