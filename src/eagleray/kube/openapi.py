"""Does a manifest keep to the schema of its CustomResourceDefinition? As the API server checks it, strictly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

Schema = Mapping[str, Any]
Rule = Callable[[str, Any], bool]
"""Whether a CEL expression holds of `self`."""

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "string": str,
}
# What the API server gives each object, whatever the schema says of them.
_ROOT: Final = ("apiVersion", "kind", "metadata")


def violations(manifest: Mapping[str, Any], schema: Schema, *, rule: Rule) -> list[str]:
    """What of an object breaks the schema, by place: unknown keys, types, values, and rules in CEL.

    Rules that compare with what was there before (`oldSelf`) hold for a new object.
    """
    own = {key: value for key, value in manifest.items() if key not in _ROOT}
    known = {key: value for key, value in schema.get("properties", {}).items() if key not in _ROOT}
    root = {**schema, "properties": known, "required": [key for key in schema.get("required", []) if key not in _ROOT]}
    found = list(_check(own, {**root, "x-kubernetes-validations": []}, "", rule))
    return [*found, *_rules(manifest, schema, "", rule)]


def _check(value: Any, schema: Schema, path: str, rule: Rule) -> Iterator[str]:
    if value is None and schema.get("nullable"):
        return
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str) or isinstance(value, bool):
            yield f"{path}: must be a whole number or a string"
            return
    elif (expected := schema.get("type")) is not None and not _is(value, expected):
        yield f"{path}: must be of type {expected}, is {_type_of(value)}"
        return
    yield from _value(value, schema, path)
    if isinstance(value, dict):
        yield from _object(value, schema, path, rule)
    if isinstance(value, list):
        yield from _array(value, schema, path, rule)
    yield from _combined(value, schema, path, rule)
    yield from _rules(value, schema, path, rule)


def _object(value: dict[str, Any], schema: Schema, path: str, rule: Rule) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key in schema.get("required", []):
        if key not in value:
            yield f"{_below(path, key)}: is required"
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{path}: has more than {schema['maxProperties']} keys"
    for key, inner in value.items():
        if key in known:
            yield from _check(inner, known[key], _below(path, key), rule)
        elif isinstance(others, Mapping):
            yield from _check(inner, others, _below(path, key), rule)
        elif not (others or schema.get("x-kubernetes-preserve-unknown-fields") or _is_partial(schema)):
            yield f"{_below(path, key)}: unknown field{_hint(key, known)}"


def _is_partial(schema: Schema) -> bool:
    """Whether it is one of several that say no more than part of what may stand there."""
    return "type" not in schema and "properties" not in schema


def _array(value: list[Any], schema: Schema, path: str, rule: Rule) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield f"{path}: {len(value)} entries are too few or too many"
    items = schema.get("items")
    for number, inner in enumerate(value):
        if items is not None:
            yield from _check(inner, items, f"{path}[{number}]", rule)
    if schema.get("x-kubernetes-list-type") == "map":
        keys = [tuple(inner.get(key) for key in schema["x-kubernetes-list-map-keys"]) for inner in value]
        if len(set(keys)) < len(keys):
            yield f"{path}: two entries have the same {', '.join(schema['x-kubernetes-list-map-keys'])}"


def _value(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path}: {value!r} does not match {schema['pattern']}"
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{path}: {len(value)} characters are too few or too many"
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)


def _number(value: float, schema: Schema, path: str) -> Iterator[str]:
    least, most = schema.get("minimum", value), schema.get("maximum", value)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if value < least or (value == least and above):
        yield f"{path}: {value} must be {'above' if above else 'at least'} {least}"
    if value > most or (value == most and below):
        yield f"{path}: {value} must be {'below' if below else 'at most'} {most}"
    if schema.get("format") == "int32" and not -(2**31) <= value < 2**31:
        yield f"{path}: {value} does not fit in 32 bits"


def _combined(value: Any, schema: Schema, path: str, rule: Rule) -> Iterator[str]:
    """`allOf`, `anyOf`, `oneOf`: in a structural schema they say no more than which values go together."""
    for inner in schema.get("allOf", []):
        yield from _check(value, inner, path, rule)
    for key in ("anyOf", "oneOf"):
        arms = schema.get(key)
        if not arms or schema.get("x-kubernetes-int-or-string"):
            continue
        fitting = sum(not list(_check(value, {**arm, "additionalProperties": True}, path, rule)) for arm in arms)
        if fitting == 0 or (key == "oneOf" and fitting > 1):
            yield f"{path}: fits {fitting} of the {len(arms)} forms that it may have"


def _rules(value: Any, schema: Schema, path: str, rule: Rule) -> Iterator[str]:
    for each in schema.get("x-kubernetes-validations", []):
        if "oldSelf" not in each["rule"] and not rule(each["rule"], value):
            yield f"{path or 'the object'}: {each.get('message') or each['rule']}"


def _is(value: Any, expected: str) -> bool:
    if isinstance(value, bool):
        return expected == "boolean"
    return isinstance(value, _TYPES[expected])


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    return next(name for name in ("boolean", "integer", "number", "string", "array", "object") if _is(value, name))


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _hint(key: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(key, known, n=1)
    return f", did you mean {close[0]}?" if close else ""
