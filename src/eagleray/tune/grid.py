"""Which configurations does a space of listed values have? Each combination once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from eagleray.spec.dimension import DimensionSpec
from eagleray.spec.space import stepped

Params = dict[str, Any]
Space = Mapping[str, DimensionSpec]


def size(space: Space) -> int:
    """Return how many configurations a grid has."""
    return sum(1 for _ in configurations(space))


def configurations(space: Space) -> Iterator[Params]:
    """All combinations, each once: those that differ only in a key that does not exist in them are one."""
    seen: set[str] = set()
    for values in itertools.product(*map(listed, space.values())):
        params = existing(space, dict(zip(space, values, strict=True)))
        identity = json.dumps(params, sort_keys=True)
        if identity not in seen:
            seen.add(identity)
            yield params


def exists(dimension: DimensionSpec, params: Params) -> bool:
    """Whether the conditions of a key hold."""
    return all(key in params and params[key] == value for key, value in dimension.when.items())


def existing(space: Space, params: Params) -> Params:
    """The values of those keys whose conditions hold."""
    kept: Params = {}
    for key, dimension in in_order(space).items():
        if exists(dimension, kept):
            kept[key] = params[key]
    return {key: kept[key] for key in space if key in kept}


def in_order(space: Space) -> dict[str, DimensionSpec]:
    """The keys such that those which a condition is about come before."""
    ordered: dict[str, DimensionSpec] = {}
    while len(ordered) < len(space):
        ready = {key: each for key, each in space.items() if key not in ordered and each.when.keys() <= ordered.keys()}
        ordered |= ready
    return ordered


def listed(dimension: DimensionSpec) -> tuple[Any, ...]:
    """The values of a key that has so many."""
    if dimension.quantized is not None:
        return stepped(*dimension.quantized)
    if dimension.int_uniform is not None:
        return tuple(range(dimension.int_uniform[0], dimension.int_uniform[1] + 1))
    return dimension.choice or dimension.grid or ()
