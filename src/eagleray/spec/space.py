"""A configuration of a sweep, laid over the document: another document, valid like any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from eagleray.errors import DocumentError, Finding
from eagleray.spec import findings, overrides, paths
from eagleray.spec.base import Conflict
from eagleray.spec.dimension import DimensionSpec, Value
from eagleray.spec.finetune import FineTune
from eagleray.spec.sweep import SweepSpec

FIXED = (
    "storage",
    "sweep",
    "scale.num_workers",
    "scale.min_workers",
    "scale.cpus_per_worker",
    "scale.gpus_per_worker",
    "promote",
    "endpoint",
    "tracking",
    "monitoring",
    "cluster",
)
"""What all trials have in common: where they are written, what they take of the cluster, what becomes of the best."""


def apply(document: FineTune, params: Mapping[str, Value]) -> FineTune:
    """Return the document with these values in it, and without its sweep.

    Where another `type` is chosen, what belonged to the one before goes with it.

    Raises:
        DocumentError: a value, or the values together, cannot be; names each key.
    """
    data = document.model_dump(mode="json", exclude_unset=True)
    data["spec"].pop("sweep", None)
    # A type before what belongs to it: `method.rank` is for the method that is chosen.
    for key in sorted(params, key=lambda key: (not key.endswith(".type"), key)):
        path = ("spec", *paths.keys(key))
        _refuse_below_value(data, path)
        if path[-1] == "type":
            data = overrides.with_type(data, path[:-1], str(params[key]), root=FineTune)
        else:
            data = overrides.with_value(data, path, params[key], root=FineTune)
    try:
        return FineTune.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise DocumentError(findings.of_error(error, root=FineTune, marks={}, source="sweep")) from error


def conflicts(document: FineTune) -> Iterator[Conflict]:
    """Yield what of the space the document would refuse: each value of a list and the ends of each range are tried."""
    sweep = document.spec.sweep
    if sweep is None:
        return
    refused: set[str] = set()
    for key in sweep.space:
        place = f'spec.sweep.space."{key}"'
        if key.startswith("spec."):
            yield Conflict(place, f"keys are counted from spec on: write {key.removeprefix('spec.')}")
            refused.add(key)
            continue
        fixed = next((each for each in FIXED if f"{key}.".startswith(f"{each}.")), None)
        if fixed is not None:
            yield Conflict(place, f"{fixed} is the same for all trials of a sweep: give it in the document")
            refused.add(key)
            continue
        for message in _refusals(document, sweep, key):
            yield Conflict(place, message)
            refused.add(key)
    for number, point in enumerate(sweep.start_from):
        for key, value in point.items():
            if key not in refused and not holds(sweep.space[key], value):
                message = f"{_shown(value)} is not what {key} may be in the space: {_words(sweep.space[key])}"
                yield Conflict(f'spec.sweep.start_from[{number}]."{key}"', message)


def holds(dimension: DimensionSpec, value: Value) -> bool:
    """Tell whether a value is one that the dimension may have."""
    values = dimension.choice or dimension.grid or (stepped(*dimension.quantized) if dimension.quantized else None)
    if values is not None:
        # 1 is no true here, and where a list has 1.0 it is written so.
        return any(value == each and type(value) is type(each) for each in values)
    if isinstance(value, bool) or not isinstance(value, int if dimension.int_uniform else int | float):
        return False
    low, high = dimension.int_uniform or dimension.uniform or dimension.log_uniform or ()
    return low <= value <= high


def stepped(low: float, high: float, step: float) -> tuple[float, ...]:
    """Return low, low + step, … up to high; a number without a fraction is a whole one."""
    count = int((high - low) / step + 1e-9) + 1
    return tuple(_plain(low + number * step) for number in range(count))


def _plain(value: float) -> float:
    rounded = round(value, 12)  # 0.1 + 0.2 is 0.3 here
    return int(rounded) if rounded == int(rounded) else rounded


def _shown(value: Any) -> str:
    """A value as it stands in a document."""
    return json.dumps(value, ensure_ascii=False)


def _words(dimension: DimensionSpec) -> str:
    """What a value may be."""
    if dimension.choice or dimension.grid:
        return f"one of {', '.join(map(_shown, dimension.choice or dimension.grid or ()))}"
    low, high, *step = getattr(dimension, dimension.kind)
    return f"{'a whole number ' if dimension.int_uniform else ''}from {low:g} to {high:g}" + "".join(
        f" in steps of {each:g}" for each in step
    )


def _refuse_below_value(data: Mapping[str, Any], path: paths.Path) -> None:
    """Nothing can be laid over `model.source.x`: the source is a text. Raises DocumentError."""
    below: Any = data
    for length, key in enumerate(path):
        if below is not None and not isinstance(below, Mapping):
            raise DocumentError([Finding(paths.text(path[:length]), "has a value in the document, and no keys")])
        below = (below or {}).get(key)


def _refusals(document: FineTune, sweep: SweepSpec, key: str) -> Iterator[str]:
    """What the document says to the values of a key, where the conditions of the key hold."""
    try:
        paths.keys(key)
    except ValueError as error:
        yield str(error)
        return
    conditions, values = _conditions(sweep.space, key), _samples(sweep.space[key])
    if unconditional := list(_unconditional(document, sweep, key, value=values[0])):
        yield from unconditional
        return
    by_finding: dict[str, list[Any]] = {}
    for value in values:
        try:
            apply(document, {**conditions, key: value})
        except DocumentError as error:
            for finding in error.findings:
                by_finding.setdefault(f"{finding.path}: {finding.message}", []).append(value)
    for told, refused in by_finding.items():
        # What is said to every value is said of the key.
        is_about_key = len(refused) == len(values) > 1
        yield told if is_about_key else f"{', '.join(map(_shown, refused))} cannot be: {told}"


def _unconditional(document: FineTune, sweep: SweepSpec, key: str, *, value: Any) -> Iterator[str]:
    """What is said to a key that only some types have, where the type is searched and the key has no condition."""
    by, conditions = f"{key.rpartition('.')[0]}.type", _conditions(sweep.space, key)
    if by == key or by in conditions or by not in sweep.space:
        return
    for chosen in _samples(sweep.space[by]):
        try:
            apply(document, {**_conditions(sweep.space, by), **conditions, by: chosen, key: value})
        except DocumentError as error:
            if any(finding.path == f"spec.{key}" for finding in error.findings):
                yield f"does not go with {by} {_shown(chosen)}: give `when`, with a value of {by} that it goes with"


def _conditions(space: Mapping[str, DimensionSpec], key: str) -> dict[str, Value]:
    """What must hold for a key to exist, with what must hold for that."""
    found: dict[str, Value] = {}
    for other, value in space[key].when.items():
        found |= {**_conditions(space, other), other: value}
    return found


def _samples(dimension: DimensionSpec) -> tuple[Any, ...]:
    if dimension.choice or dimension.grid:
        return dimension.choice or dimension.grid or ()
    if dimension.quantized:
        values = stepped(*dimension.quantized)
        return tuple(dict.fromkeys((*values[:2], values[-1])))  # the second tells a step that is no whole number
    return tuple((dimension.int_uniform or dimension.uniform or dimension.log_uniform or ())[:2])
