"""What is wrong in a document, in the words of the one who wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from eagleray.errors import Finding
from eagleray.spec import origins, paths, shape
from eagleray.spec.base import Conflict, ConflictError, Spec
from eagleray.spec.task.not_offered import NOT_OFFERED

_MAX_SHOWN_CHARACTERS = 60
# What YAML 1.1 reads as booleans; here they are strings.
_BOOLEANS_ELSEWHERE = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def of_error(error: ValidationError, *, root: type[Spec], marks: origins.Marks, source: str) -> list[Finding]:
    """Every error of a validation, each once: pydantic repeats itself for every branch of a union."""
    found = [
        _finding(path, message, marks=marks, source=source)
        for details in error.errors(include_url=False)
        for path, message in _messages(details, root)
    ]
    return list(dict.fromkeys(found))


def of_header(data: Mapping[str, Any], *, root: type[Spec], marks: origins.Marks, source: str) -> list[Finding]:
    """A version or kind that we do not know. Nothing else in such a document can be judged."""
    found = []
    for key in ("apiVersion", "kind"):
        field = root.model_fields[key]
        allowed = shape.choices(field.annotation)
        if key in data and data[key] not in allowed:
            place = shape.Place((key,), field.annotation)
            message = f"unknown {key}: {_expected(place, data[key])}"
            found.append(_finding((key,), message, marks=marks, source=source))
    return found


def of_conflicts(conflicts: Iterable[Conflict], *, marks: origins.Marks, source: str) -> list[Finding]:
    """Conflicts with paths from the root, as findings."""
    return [_finding(paths.parse(each.path), each.message, marks=marks, source=source) for each in conflicts]


def did_you_mean(given: object, allowed: Iterable[object]) -> str:
    """`did you mean "lora"?`, or "" where nothing is close or no text was given."""
    if not isinstance(given, str):
        return ""
    by_lower = {str(value).lower().replace("_", "-"): value for value in allowed}
    close = get_close_matches(given.lower().replace("_", "-"), by_lower, n=1, cutoff=0.6)
    return f"did you mean {shape.quoted(by_lower[close[0]])}?" if close else ""


def _finding(path: paths.Path, message: str, *, marks: origins.Marks, source: str) -> Finding:
    origin = origins.nearest(marks, path)
    if origin.kind == "--set":
        return Finding(paths.text(path), message, None, "--set")
    return Finding(paths.text(path), message, origin.line, source)


def _messages(details: Any, root: type[Spec]) -> Iterator[tuple[paths.Path, str]]:
    place = shape.locate(details["loc"], root=root)
    given = details["input"]
    match details["type"]:
        case "missing":
            yield place.path, f"required and missing: give {shape.words(place.allowed, place.constraints)}"
        case "extra_forbidden":
            owner = shape.locate(details["loc"][:-1], root=root)
            yield place.path, _unknown_key(str(place.path[-1]), owner=owner, root=root)
        case "union_tag_not_found" if isinstance(given, dict):
            yield (*place.path, "type"), f"required and missing: give one of {_listed(shape.models(place.allowed))}"
        case "union_tag_invalid" if isinstance(given["type"], str) and given["type"] in NOT_OFFERED:
            yield (*place.path, "type"), f"`{given['type']}` is not offered: {NOT_OFFERED[given['type']]}"
        case "union_tag_invalid":
            allowed = shape.models(place.allowed)
            message = f"unknown type, expected one of {_listed(allowed)}, got {_shown(given['type'])}"
            yield (*place.path, "type"), "; ".join(filter(None, (message, did_you_mean(given["type"], allowed))))
        case "too_short" if isinstance(given, list) and len(given) >= details["ctx"]["min_length"]:
            return  # pydantic does not count entries that are wrong; each has a finding of its own
        case "value_error" if isinstance(error := details["ctx"]["error"], ConflictError):
            for conflict in error.conflicts:
                yield (*place.path, *paths.parse(conflict.path)), conflict.message
        case _:
            yield place.path, _expected(place, given)


def _unknown_key(key: str, *, owner: shape.Place, root: type[Spec]) -> str:
    (model,) = shape.models(owner.allowed).values()
    hint = did_you_mean(key, model.model_fields)
    elsewhere = [paths.text(path) for path in shape.homes(key, root=root)]
    if not hint and elsewhere:
        hint = f"it belongs at {' or '.join(elsewhere[:3])}."
    of_type = f" with type {shape.tag(model)}" if shape.tag(model) else ""
    start = f"unknown key, {hint}" if hint else "unknown key."
    return f"{start} Allowed here{of_type}: {', '.join(model.model_fields)}"


def _expected(place: shape.Place, given: Any) -> str:
    chosen = shape.models(place.allowed)
    if len(chosen) > 1:
        allowed = f"a mapping whose type is one of {_listed(chosen)}"
    else:
        allowed = shape.words(place.allowed, place.constraints)
    return f"expected {allowed}, got {_shown(given)}{_hint(place, given)}"


def _hint(place: shape.Place, given: Any) -> str:
    """How to mend the mistakes that are made most."""
    match given:
        case None:
            return ": write a value" + ("" if place.is_required else ", or leave the key out")
        case str():
            return _text_hint(place.allowed, given)
        case bool() | int() | float() if shape.words(place.allowed).startswith("a string"):
            return ": put it in quotes"
    return ""


def _text_hint(allowed: Any, given: str) -> str:
    expected = shape.words(allowed)
    if "number" in expected and _is_number(given):
        return ": write it without quotes"
    if expected.startswith("true or false") and given.lower() in _BOOLEANS_ELSEWHERE:
        return f": write {_BOOLEANS_ELSEWHERE[given.lower()]}"
    if expected.startswith("a list"):
        return f": write [{given}]"
    if given in shape.models(allowed):
        return f": write {{type: {given}}}"
    choices = shape.choices(allowed)
    hint = did_you_mean(given, choices) if len(choices) > 1 else ""
    return f"; {hint}" if hint else ""


def _shown(given: Any) -> str:
    match given:
        case None:
            return "nothing"
        case bool():
            return str(given).lower()
        case int() | float():
            return f"the number {given}"
        case str():
            cut = given if len(given) <= _MAX_SHOWN_CHARACTERS else given[:_MAX_SHOWN_CHARACTERS] + "…"
            return f'the string "{cut}"'
        case list() | tuple():
            return "a list"
    return "a mapping"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(values: Iterable[str]) -> str:
    return ", ".join(shape.quoted(value) for value in values)
