"""`--set a.b=c`: values from the command line laid over a document before it is validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eagleray.errors import DocumentError, Finding
from eagleray.spec import origins, paths, shape, yaml_text
from eagleray.spec.base import Spec

SOURCE = "--set"
# Everything else is relative to `spec`, the part that is overridden day to day.
_ROOTS = ("spec", "metadata")
_EXAMPLE = "write KEY=VALUE, as in train.learning_rate=3e-5"


@dataclass(frozen=True, slots=True)
class Overlaid:
    """Plain values with the overrides in them, the origin of each node, and what was wrong with the overrides."""

    data: dict[str, Any]
    marks: dict[paths.Path, origins.Origin]
    findings: list[Finding]


def overlay(data: Mapping[str, Any], marks: origins.Marks, overrides: Sequence[str], *, root: type[Spec]) -> Overlaid:
    """Lay each override over the values, in turn. Whether a key exists is for the validation to say."""
    result = Overlaid(dict(data), dict(marks), [])
    for override in overrides:
        try:
            path, value, inner = _parse(override)
            _refuse_below_value(result.data, path)
        except DocumentError as error:
            result = Overlaid(result.data, result.marks, [*result.findings, *error.findings])
            continue
        changed = with_value(result.data, path, value, root=root)
        kept = {place: origin for place, origin in result.marks.items() if place[: len(path)] != path}
        given = {(*path, *place): origins.Origin("--set") for place in inner}
        parents = {path[:length]: origins.Origin("--set") for length in range(1, len(path))}
        result = Overlaid(changed, {**parents, **kept, **given}, result.findings)
    return result


def with_value(data: Mapping[str, Any], path: paths.Path, value: Any, *, root: type[Spec]) -> dict[str, Any]:
    """Return the plain values of a document with one replaced; mappings on the way that are missing are made.

    A choice that the document leaves to its default keeps the default's `type`, so that
    `train.schedule.warmup=0.2` means the schedule that `eagleray plan --document` shows.
    """
    changed: dict[str, Any] = _with_value(data, path, value, allowed=root)
    return changed


def with_type(data: Mapping[str, Any], path: paths.Path, chosen: str, *, root: type[Spec]) -> dict[str, Any]:
    """Return the values with another `type` chosen at a place; what the new one does not know is left out."""
    before: Any = data
    allowed: Any = root
    for key in path:
        allowed, _ = _field(before or {}, str(key), allowed)
        before = (before or {}).get(key)
    model = shape.models(allowed).get(chosen)
    known = model.model_fields if model is not None else {}
    kept = {key: value for key, value in (before or {}).items() if key in known}
    return with_value(data, path, {**kept, "type": chosen}, root=root)


def _parse(override: str) -> tuple[paths.Path, Any, list[paths.Path]]:
    """An override's path from the root, its value, and the places inside the value."""
    written, equals, text = override.partition("=")
    if not equals:
        raise DocumentError([Finding("", f"{override!r} sets nothing: {_EXAMPLE}", None, SOURCE)])
    try:
        keys = paths.keys(written.strip())
    except ValueError as error:
        hint = "set the whole list, as in task.labels=[a, b]" if "[" in written else _EXAMPLE
        raise DocumentError([Finding("", f"{error}; {hint}", None, SOURCE)]) from error
    path = keys if keys[0] in _ROOTS else ("spec", *keys)
    parsed = _parse_value(text, path)
    return path, parsed.value, list(parsed.lines) or [()]


def _parse_value(text: str, path: paths.Path) -> yaml_text.Yaml:
    try:
        parsed = yaml_text.parse(text, source=SOURCE)
        findings = parsed.findings
    except DocumentError as error:
        findings = error.findings
    if findings:
        raise DocumentError([Finding(paths.text(path), f.message, None, SOURCE) for f in findings])
    return parsed


def _refuse_below_value(data: Any, path: paths.Path) -> None:
    """`method.rank=4` cannot be laid over `method: lora`."""
    for length, key in enumerate(path):
        if data is not None and not isinstance(data, dict):
            message = f"the document has a value here, not a mapping: {paths.text(path)} cannot be set"
            raise DocumentError([Finding(paths.text(path[:length]), message, None, SOURCE)])
        data = (data or {}).get(key)


def _with_value(data: Any, path: paths.Path, value: Any, *, allowed: Any) -> Any:
    if not path:
        return value
    key, *rest = path
    values = dict(data or {})
    place, default = _field(values, str(key), allowed)
    below = values.get(key)
    if below is None and rest and default:
        below = {"type": default}
    return {**values, key: _with_value(below, tuple(rest), value, allowed=place)}


def _field(values: Mapping[str, Any], key: str, allowed: Any) -> tuple[Any, str]:
    """What a key's value may be, and the `type` of its default."""
    chosen = shape.models(allowed)
    model = chosen.get(str(values.get("type", ""))) or next(iter(chosen.values()), None)
    field = model.model_fields.get(key) if model is not None else None
    if field is None:
        return None, ""
    return field.annotation, str(getattr(field.default, "type", ""))
