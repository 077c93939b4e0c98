"""Which fields has an object, down to the leaf: what a field manager can own?

A list is atomic unless its schema makes it a map by keys or a set. Kinds that are built in have no schema here; those
of their lists that are keyed go by their names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_MAPS = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
_SETS = {"finalizers"}
_DEFAULTS = {"protocol": "TCP"}
_BY_NAME = "by-name"
BUILT_IN: Schema = {_BY_NAME: ""}


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a list that is keyed."""

    fields: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        return "k:" + json.dumps(dict(self.fields), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of a set."""

    value: Any

    def __str__(self) -> str:
        return "v:" + json.dumps(self.value)


Step = str | Key | Member
Path = tuple[Step, ...]


def child(schema: Schema, name: str) -> Schema:
    """The schema of a key of an object; {} where it says nothing."""
    if _BY_NAME in schema:
        return {_BY_NAME: name}
    found = schema.get("properties", {}).get(name)
    if found is not None:
        return dict(found)
    others = schema.get("additionalProperties")
    return others if isinstance(others, Mapping) else {}


def of_root(schema: Schema) -> Schema:
    """The schema of a whole object: whatever a CRD says, its metadata is that of every object."""
    if _BY_NAME in schema:
        return schema
    return {**schema, "properties": {**schema.get("properties", {}), "metadata": BUILT_IN}}


def entries(schema: Schema) -> Schema:
    """The schema of an entry of a list."""
    return {_BY_NAME: ""} if _BY_NAME in schema else schema.get("items", {})


def keys(schema: Schema) -> tuple[str, ...]:
    """What an entry of this list is known by; () where the list is no map."""
    if _BY_NAME in schema:
        return _MAPS.get(schema[_BY_NAME], ())
    return tuple(schema.get("x-kubernetes-list-map-keys", ())) if schema.get("x-kubernetes-list-type") == "map" else ()


def is_set(schema: Schema) -> bool:
    """Whether the list is a set."""
    if _BY_NAME in schema:
        return schema[_BY_NAME] in _SETS
    return schema.get("x-kubernetes-list-type") == "set"


def is_granular(value: Any, schema: Schema) -> bool:
    """Whether it is an object whose keys can have owners of their own."""
    return isinstance(value, dict) and schema.get("x-kubernetes-map-type") != "atomic"


def key_of(entry: Mapping[str, Any], schema: Schema) -> Key:
    """What an entry of a keyed list is called."""
    inner = entries(schema).get("properties", {})
    return Key(
        tuple((name, entry.get(name, inner.get(name, {}).get("default", _DEFAULTS.get(name)))) for name in keys(schema))
    )


def leaves(value: Any, schema: Schema, path: Path = ()) -> Iterator[Path]:
    """Every field that somebody can own."""
    if is_granular(value, schema):
        if not value and path:
            yield path
        for name, inner in value.items():
            yield from leaves(inner, child(schema, name), (*path, name))
    elif isinstance(value, list) and keys(schema):
        for entry in value:
            key = key_of(entry, schema)
            yield (*path, key)
            yield from leaves(entry, entries(schema), (*path, key))
    elif isinstance(value, list) and is_set(schema):
        yield from ((*path, Member(entry)) for entry in value)
    else:
        yield path


def values(value: Any, schema: Schema) -> dict[Path, Any]:
    """What each of them is; of an entry of a keyed list, that it is there."""
    return {path: read(value, schema, path) for path in leaves(value, schema)}


def read(value: Any, schema: Schema, path: Path) -> Any:
    """What is at a path; None where there is nothing."""
    for number, step in enumerate(path):
        match step:
            case Key():
                value = next((entry for entry in value or [] if key_of(entry, schema) == step), None)
                schema = entries(schema)
                if number == len(path) - 1:
                    return value is not None
            case Member():
                return step.value in (value or [])
            case _:
                value = value.get(step) if isinstance(value, dict) else None
                schema = child(schema, step)
    return value


def without(value: Any, schema: Schema, path: Path) -> Any:
    """The same with a field less; what is empty then goes too."""
    step, rest = path[0], path[1:]
    match step:
        case Key():
            kept = []
            for entry in value or []:
                if key_of(entry, schema) != step:
                    kept.append(entry)
                elif rest and (inner := without(entry, entries(schema), rest)):
                    kept.append(inner)
            return kept
        case Member():
            return [entry for entry in value or [] if entry != step.value]
    if not isinstance(value, dict) or step not in value:
        return value
    inner = without(value[step], child(schema, step), rest) if rest else None
    others = {name: other for name, other in value.items() if name != step}
    return others if inner in (None, {}, []) else {**value, step: inner}


def merged(live: Any, applied: Any, schema: Schema) -> Any:
    """What is there with what is applied laid over it."""
    if is_granular(applied, schema) and isinstance(live, dict):
        return {
            **live,
            **{name: merged(live.get(name), inner, child(schema, name)) for name, inner in applied.items()},
        }
    if isinstance(applied, list) and isinstance(live, list) and keys(schema):
        new = {key_of(entry, schema): entry for entry in applied}
        kept = [merged(entry, new.pop(key_of(entry, schema), entry), entries(schema)) for entry in live]
        return [*kept, *new.values()]
    if isinstance(applied, list) and isinstance(live, list) and is_set(schema):
        return [*live, *(entry for entry in applied if entry not in live)]
    return applied


def as_json(paths: Iterable[Path]) -> dict[str, Any]:
    """The form FieldsV1 of a set of fields."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=lambda path: tuple(map(str, path))):
        inner = tree
        for step in path:
            inner = inner.setdefault(f"f:{step}" if isinstance(step, str) else str(step), {})
    return tree
