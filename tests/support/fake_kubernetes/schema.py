"""What does the schema of a CustomResourceDefinition make of an object: defaults, unknown fields, refusals?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.fake_kubernetes.fields import Schema

_ROOT = ("apiVersion", "kind", "metadata")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "string": str,
}


def defaulted(value: Any, schema: Schema) -> Any:
    """The same with the defaults of what is left out."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        given = {key: defaulted(inner, known.get(key) or _others(schema)) for key, inner in value.items()}
        return given | {
            key: defaulted(inner["default"], inner)
            for key, inner in known.items()
            if key not in given and "default" in inner
        }
    if isinstance(value, list):
        return [defaulted(inner, schema.get("items", {})) for inner in value]
    return value


def unknown(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """The fields that the schema does not know."""
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from unknown(inner, schema.get("items", {}), f"{path}[{number}]")
    if not isinstance(value, dict) or _takes_all(schema):
        return
    for key, inner in value.items():
        if not path and key in _ROOT:
            continue
        below = schema.get("properties", {}).get(key) or _others(schema)
        where = f"{path}.{key}" if path else key
        if below or isinstance(schema.get("additionalProperties"), Mapping):
            yield from unknown(inner, below, where)
        else:
            yield where


def pruned(value: Any, schema: Schema, *, is_root: bool = True) -> Any:
    """The same without what the schema does not know."""
    if isinstance(value, list):
        return [pruned(inner, schema.get("items", {}), is_root=False) for inner in value]
    if not isinstance(value, dict) or _takes_all(schema):
        return value
    known, result = schema.get("properties", {}), {}
    for key, inner in value.items():
        below = known.get(key) or _others(schema)
        if is_root and key in _ROOT:
            result[key] = inner
        elif below or isinstance(schema.get("additionalProperties"), Mapping):
            result[key] = pruned(inner, below, is_root=False)
    return result


def violations(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """What breaks the schema, by place. Rules in CEL are not looked at."""
    if value is None and schema.get("nullable"):
        return
    if schema.get("x-kubernetes-int-or-string"):
        return
    expected = schema.get("type")
    if expected is not None and not _is(value, expected):
        yield f'{path}: Invalid value: must be of type {expected}: "{type(value).__name__}"'
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: Unsupported value: {value!r}: supported values: {', '.join(map(repr, schema['enum']))}"
    yield from _sizes(value, schema, path)
    if isinstance(value, dict):
        yield from _object(value, schema, path)
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from violations(inner, schema.get("items", {}), f"{path}[{number}]")


def _object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    for key in schema.get("required", []):
        if key not in value:
            yield f"{path}.{key}: Required value".lstrip(".")
    for key, inner in value.items():
        if path or key not in _ROOT:
            below = schema.get("properties", {}).get(key) or _others(schema)
            yield from violations(inner, below, f"{path}.{key}".lstrip("."))


def _sizes(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path}: Invalid value: {value!r} should match {schema['pattern']!r}"
        yield from _between(len(value), schema, path, "minLength", "maxLength")
    elif isinstance(value, list):
        yield from _between(len(value), schema, path, "minItems", "maxItems")
    elif isinstance(value, dict):
        yield from _between(len(value), schema, path, "minProperties", "maxProperties")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _between(value, schema, path, "minimum", "maximum")


def _between(number: float, schema: Schema, path: str, least: str, most: str) -> Iterator[str]:
    if number < schema.get(least, number):
        yield f"{path}: Invalid value: {number}: {least} is {schema[least]}"
    if number > schema.get(most, number):
        yield f"{path}: Invalid value: {number}: {most} is {schema[most]}"


def _is(value: Any, expected: str) -> bool:
    if isinstance(value, bool):
        return expected == "boolean"
    return isinstance(value, _TYPES[expected])


def _others(schema: Schema) -> Schema:
    others = schema.get("additionalProperties")
    return others if isinstance(others, Mapping) else {}


def _takes_all(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource"))
