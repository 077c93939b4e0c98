"""What a place in a document allows, read from the models: its keys, and its values in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import StringConstraints
from pydantic.fields import FieldInfo

from eagleray.spec import paths
from eagleray.spec.base import InWords, Spec

_SCALARS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_BOUNDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a document, with what the models say of it."""

    path: paths.Path
    allowed: Any  # the annotation of its value; None where no model knows the key
    constraints: tuple[Any, ...] = ()
    is_required: bool = False


def locate(location: Sequence[str | int], *, root: type[Spec]) -> Place:
    """Pydantic's location as a place that a user knows.

    Pydantic puts the tag of a chosen model ("lora") and the branch of a union ("constrained-int") among the keys;
    neither is written in a document.
    """
    place = Place((), root)
    for step in location:
        chosen = models(place.allowed)
        if len(chosen) > 1:
            place = Place(place.path, chosen[str(step)])
        elif chosen:
            (model,) = chosen.values()
            place = _field(model, place.path, str(step))
        elif (entry := _entry(place.allowed)) is not None and step != "[key]":
            place = Place((*place.path, step), entry)
        if place.allowed is None:
            break
    return place


def models(allowed: Any) -> dict[str, type[Spec]]:
    """The models a value may be of, by their `type`; one without a `type` stands under ""."""
    found = [arm for arm in _arms(allowed) if isinstance(arm, type) and issubclass(arm, Spec)]
    return {tag(model): model for model in found}


def tag(model: type[Spec]) -> str:
    """The `type` that chooses a model among its kind, "" where there is no choice."""
    field = model.model_fields.get("type")
    return str(get_args(field.annotation)[0]) if field is not None else ""


def choices(allowed: Any) -> tuple[str | int, ...]:
    """The values that a choice lists; () where the value is no choice."""
    return tuple(value for arm in _arms(allowed) if get_origin(arm) is Literal for value in get_args(arm))


def words(allowed: Any, constraints: Iterable[Any] = ()) -> str:
    """What a value must be: `a number above 0 and below 1`, `one of "max", "min"`."""
    parts = list(dict.fromkeys(_arm_words(arm, list(constraints)) for arm in _arms(allowed, with_null=True)))
    return ", or ".join(parts)


def homes(key: str, *, root: Any, path: paths.Path = ()) -> list[paths.Path]:
    """The places where the models know a key, from the root down."""
    found: list[paths.Path] = []
    for model in models(root).values():
        for name, field in model.model_fields.items():
            if name == key:
                found.append((*path, name))
            found += homes(key, root=field.annotation, path=(*path, name))
    return list(dict.fromkeys(found))


def _field(model: type[Spec], path: paths.Path, key: str) -> Place:
    field = model.model_fields.get(key)
    if field is None:
        return Place((*path, key), None)
    return Place((*path, key), field.annotation, tuple(field.metadata), field.is_required())


def _arms(allowed: Any, *, with_null: bool = False) -> list[Any]:
    """The alternatives of an annotation, each with the constraints that it carries itself."""
    if get_origin(allowed) in (Union, UnionType):
        arms = [inner for arm in get_args(allowed) for inner in _arms(arm, with_null=True)]
    elif get_origin(allowed) is Annotated and get_origin(get_args(allowed)[0]) in (Union, UnionType):
        arms = _arms(get_args(allowed)[0], with_null=True)
    else:
        arms = [allowed]
    return [arm for arm in arms if with_null or arm is not NoneType]


def _entry(allowed: Any) -> Any:
    """The annotation of what a list or a mapping of free keys holds."""
    for arm in _arms(allowed):
        if get_origin(arm) is tuple:
            return get_args(arm)[0]
        if get_origin(arm) is dict:
            return get_args(arm)[1]
    return None


def _arm_words(arm: Any, constraints: list[Any]) -> str:
    if get_origin(arm) is Annotated:
        arm, *own = get_args(arm)
        return _arm_words(arm, [*own, *constraints])
    for constraint in constraints:
        if isinstance(constraint, InWords):
            return constraint.text
    if get_origin(arm) is Literal:
        shown = [quoted(value) for value in get_args(arm)]
        return shown[0] if len(shown) == 1 else "one of " + ", ".join(shown)
    if get_origin(arm) is tuple:
        fewest = next(filter(None, (getattr(each, "min_length", None) for each in constraints)), None)
        return f"a list{f' of at least {fewest}' if fewest else ''}, each entry {words(get_args(arm)[0])}"
    if get_origin(arm) is dict:
        return f"a mapping, each value {words(get_args(arm)[1])}"
    if arm is NoneType:
        return "null"
    if issubclass(arm, Spec):
        return "a mapping with the keys " + ", ".join(arm.model_fields)
    return _SCALARS[arm] + _bounds(constraints)


def _bounds(constraints: list[Any]) -> str:
    flat = [inner for constraint in constraints for inner in _flat(constraint)]
    bounds = [
        f" {word} {int(bound) if bound == int(bound) else bound}"
        for constraint in flat
        for name, word in _BOUNDS.items()
        if (bound := getattr(constraint, name, None)) is not None
    ]
    return " that is not empty" if any(_has_length(c) for c in flat) else " and".join(bounds)


def _flat(constraint: Any) -> list[Any]:
    return list(constraint.metadata) if isinstance(constraint, FieldInfo) else [constraint]


def _has_length(constraint: Any) -> bool:
    return isinstance(constraint, StringConstraints) and bool(constraint.min_length)


def quoted(value: object) -> str:
    """A value as it stands in a message: strings in quotes."""
    return f'"{value}"' if isinstance(value, str) else str(value)
