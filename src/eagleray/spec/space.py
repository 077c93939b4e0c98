"""A configuration of a sweep, laid over the document: another document, valid like any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from eagleray.errors import DocumentError
from eagleray.spec import findings, overrides, paths, shape
from eagleray.spec.base import Conflict
from eagleray.spec.finetune import FineTune
from eagleray.spec.sweep import DimensionSpec, SweepSpec, Value

FIXED = ("storage", "sweep", "scale.num_workers", "scale.min_workers", "scale.cpus_per_worker", "scale.gpus_per_worker")
"""What all trials have in common: where they are written, and what they take of the cluster."""


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
        if path[-1] == "type":
            data = overrides.with_type(data, path[:-1], str(params[key]), root=FineTune)
        else:
            data = overrides.with_value(data, path, params[key], root=FineTune)
    try:
        return FineTune.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise DocumentError(findings.of_error(error, root=FineTune, marks={}, source="sweep")) from error


def conflicts(document: FineTune) -> Iterator[Conflict]:
    """Yield what of the space the document would refuse: each value, and both ends of each range, is tried."""
    sweep = document.spec.sweep
    if sweep is None:
        return
    refused: set[str] = set()
    for key in sweep.space:
        place = f'spec.sweep.space."{key}"'
        fixed = next((each for each in FIXED if f"{key}.".startswith(f"{each}.")), None)
        if fixed is not None:
            yield Conflict(place, f"{fixed} is the same for all trials of a sweep: give it in the document")
            refused.add(key)
            continue
        for message in dict.fromkeys(_refusals(document, sweep, key)):
            yield Conflict(place, message)
            refused.add(key)
    for number, point in enumerate(sweep.start_from):
        for key, value in point.items():
            if key not in refused and not holds(sweep.space[key], value):
                message = f"{shape.quoted(value)} is not what {key} may be in the space"
                yield Conflict(f'spec.sweep.start_from[{number}]."{key}"', message)


def holds(dimension: DimensionSpec, value: Value) -> bool:
    """Tell whether a value is one that the dimension may have."""
    values = dimension.choice or dimension.grid
    if values is not None:
        return value in values
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high, *_ = dimension.int_uniform or dimension.quantized or dimension.uniform or dimension.log_uniform or ()
    return low <= value <= high


def stepped(low: float, high: float, step: float) -> tuple[float, ...]:
    """Return low, low + step, … up to high; a number without a fraction is a whole one."""
    count = int((high - low) / step + 1e-9) + 1
    return tuple(_plain(low + number * step) for number in range(count))


def _plain(value: float) -> float:
    rounded = round(value, 12)  # 0.1 + 0.2 is 0.3 here
    return int(rounded) if rounded == int(rounded) else rounded


def _refusals(document: FineTune, sweep: SweepSpec, key: str) -> Iterator[str]:
    """What the document says to each value of a key, where the conditions of the key hold."""
    conditions = _conditions(sweep.space, key)
    for value in _samples(sweep.space[key]):
        try:
            apply(document, {**conditions, key: value})
        except DocumentError as error:
            yield from (f"{shape.quoted(value)} cannot be: {_told(finding)}" for finding in error.findings)
        except ValueError as error:  # the key is no path
            yield str(error)


def _told(finding: Any) -> str:
    return f"{finding.path}: {finding.message}"


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
        return values[0], values[-1]
    return tuple((dimension.int_uniform or dimension.uniform or dimension.log_uniform or ())[:2])
