"""Who owns which fields of an object, and what becomes of that when it is written?

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.fake_kubernetes import fields
from tests.support.fake_kubernetes.fields import Path, Schema
from tests.support.fake_kubernetes.status import Refusal

# Of every object, and nobody's.
_UNOWNED = ("apiVersion", "kind")
_UNOWNED_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
)


@dataclass(frozen=True, slots=True)
class Manager:
    """Who wrote, in which way."""

    name: str
    operation: str  # Apply or Update
    subresource: str = ""


Owned = Mapping[Manager, frozenset[Path]]


def applied(
    live: dict[str, Any], owned: Owned, given: dict[str, Any], *, by: Manager, schema: Schema, force: bool
) -> tuple[dict[str, Any], Owned]:
    """Server-side apply: the object as it becomes, and its owners. Raises Refusal where others own what changes."""
    schema = fields.of_root(schema)
    asked = fields.values(_ownable(given), schema)
    lost = _conflicts(live, owned, asked, by=by, schema=schema)
    if lost and not force:
        told = ", ".join(f'"{manager.name}": .{_dotted(path)}' for manager, path in lost)
        raise Refusal(
            409, "Conflict", f"Apply failed with {len(lost)} conflict{'s'[: len(lost) > 1]}: conflict with {told}"
        )
    result = fields.merged(live, _ownable(given), schema)
    others = {manager: paths for manager, paths in owned.items() if manager != by}
    for manager, path in lost:
        others[manager] = others[manager] - {path}
    held = frozenset().union(*others.values())
    # An entry before the fields in it: what it is known by must not go alone.
    for path in sorted(owned.get(by, frozenset()) - asked.keys(), key=len):
        if not _is_held(path, held):
            result = fields.without(result, schema, path)
    return result, _kept({**others, by: frozenset(asked)})


def updated(before: dict[str, Any], after: dict[str, Any], owned: Owned, *, by: Manager, schema: Schema) -> Owned:
    """A write that is no apply: who changes a field has it from then on, alone."""
    schema = fields.of_root(schema)
    old, new = fields.values(_ownable(before), schema), fields.values(_ownable(after), schema)
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    kept = {manager: (paths & new.keys()) - changed for manager, paths in owned.items()}
    return _kept({**kept, by: kept.get(by, frozenset()) | changed})


def as_json(owned: Owned, *, api_version: str, at: str) -> list[dict[str, Any]]:
    """The metadata `managedFields`."""
    return [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": api_version,
            "time": at,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.as_json(paths),
        }
        | ({"subresource": manager.subresource} if manager.subresource else {})
        for manager, paths in owned.items()
    ]


def _conflicts(
    live: dict[str, Any], owned: Owned, asked: dict[Path, Any], *, by: Manager, schema: Schema
) -> list[tuple[Manager, Path]]:
    return [
        (manager, path)
        for manager, paths in owned.items()
        if manager != by
        for path in sorted(paths & asked.keys(), key=_dotted)
        if fields.read(live, schema, path) != asked[path]
    ]


def _is_held(path: Path, held: frozenset[Path]) -> bool:
    """Whether somebody else owns it, or, of an entry of a keyed list, something in it."""
    entry = path if isinstance(path[-1], fields.Key) else path[:-1]
    if entry and isinstance(entry[-1], fields.Key) and (path == entry or path[-1] in dict(entry[-1].fields)):
        return any(other[: len(entry)] == entry for other in held)
    return path in held


def _ownable(body: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in body.items() if key not in _UNOWNED}
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key not in _UNOWNED_METADATA}
    return {
        **{key: value for key, value in kept.items() if key != "metadata"},
        **({"metadata": metadata} if metadata else {}),
    }


def _kept(owned: Mapping[Manager, frozenset[Path]]) -> Owned:
    return {manager: paths for manager, paths in owned.items() if paths}


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
