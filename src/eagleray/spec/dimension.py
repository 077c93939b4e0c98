"""What one key of a document may be in a sweep, and under which condition it is searched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, InWords, Spec

Value = Annotated[
    bool | int | float | str | tuple[str, ...], InWords("a single value, or a list of strings where the key takes one")
]
"""A value of the document, as it stands in YAML."""

Range = Annotated[tuple[float, ...], Field(min_length=2, max_length=2), InWords("two numbers, as [low, high]")]
IntRange = Annotated[tuple[int, ...], Field(min_length=2, max_length=2), InWords("two whole numbers, as [low, high]")]
SteppedRange = Annotated[
    tuple[float, ...], Field(min_length=3, max_length=3), InWords("three numbers, as [low, high, step]")
]
Values = Annotated[
    tuple[Value, ...],
    Field(min_length=1),
    InWords("a list with at least one value, each a single one or a list of strings"),
]

_KINDS = ("uniform", "log_uniform", "int_uniform", "quantized", "choice", "grid")


class DimensionSpec(Spec):
    """What one key of the document may be. Exactly one of the keys but `when` is given."""

    uniform: Range | None = None
    """Any number from `[low, high]`, each as likely."""
    log_uniform: Range | None = None
    """Any number from `[low, high]`, each order of magnitude as likely: for learning rates and the like."""
    int_uniform: IntRange | None = None
    """Any whole number from `[low, high]`, both among them."""
    quantized: SteppedRange | None = None
    """`[low, high, step]`: low, low + step, … up to high."""
    choice: Values | None = None
    """One of these values."""
    grid: Values | None = None
    """Each of these values as often as the others: all combinations of all grids are gone through in turn."""
    when: dict[str, Value] = Field(default={})
    """The key is searched only where others of the space have these values: `{method.type: lora}`."""

    @model_validator(mode="after")
    def _is_a_range(self) -> DimensionSpec:
        conflicts = list(_dimension_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self

    @property
    def kind(self) -> str:
        """Which of the keys is given."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)


def conflicts(space: dict[str, DimensionSpec]) -> Iterator[Conflict]:
    """What is wrong with the conditions of a space, by places below `sweep`."""
    for key, dimension in space.items():
        for other, value in dimension.when.items():
            place = f'space."{key}".when."{other}"'
            if other not in space:
                yield Conflict(place, "is not in the space: a condition is about another key that is searched")
            elif _depends(space, other, on=key):
                yield Conflict(place, f"{key} and {other} wait for each other: leave one of the conditions out")
            elif (values := space[other].choice or space[other].grid) is None:
                yield Conflict(
                    place, f"{other} has no list of values: a condition is about one with `choice` or `grid`"
                )
            elif value not in values:
                listed = ", ".join(map(json.dumps, values))
                yield Conflict(place, f"{other} is never {json.dumps(value)}: give one of {listed}")


def _depends(space: dict[str, DimensionSpec], key: str, *, on: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether the existence of `key` depends on the value of `on`, be it by others."""
    if key == on:
        return True
    if key in seen or key not in space:
        return False
    return any(_depends(space, other, on=on, seen=seen | {key}) for other in space[key].when)


def _dimension_conflicts(dimension: DimensionSpec) -> Iterator[Conflict]:
    given = [kind for kind in _KINDS if getattr(dimension, kind) is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} exclude each other: keep one" if given else f"give one of {', '.join(_KINDS)}"
        yield Conflict("", what)
        return
    (kind,) = given
    if kind in ("choice", "grid"):
        return
    low, high, *step = getattr(dimension, kind)
    if not low < high:
        yield Conflict(kind, f"low {low:g} must be below high {high:g}")
    elif kind == "log_uniform" and low <= 0:
        yield Conflict(kind, f"low {low:g} has no logarithm: give a number above 0")
    elif step and not 0 < step[0] <= high - low:
        yield Conflict(kind, f"step {step[0]:g} must be above 0 and at most {high - low:g}")
