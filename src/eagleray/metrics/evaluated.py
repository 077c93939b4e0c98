"""How is a metric of the package `evaluate` asked? It takes rows in batches, which it keeps in a file of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import evaluate
from datasets import Features, Value
from datasets import Sequence as ListOf

from eagleray.errors import UserError
from eagleray.metrics.pairs import Pairs

_BATCH_ROWS = 1024


def build(
    source: str, *, config: str | None, options: Mapping[str, Any], place: str
) -> Callable[[Pairs, Sequence[str], Path], Any]:
    """Load a metric. Raises UserError where it is not there, or cannot be imported."""
    module = _loaded(source, config=config, place=place)
    takes = set(_features(module))
    if takes != {"predictions", "references"}:
        raise UserError(
            f"{place}.source: {source} wants {', '.join(sorted(takes))}: only metrics of predictions and references "
            "are asked here; write a function that calls it, and name that"
        )

    def value(pairs: Pairs, labels: Sequence[str], scratch: Path) -> Any:
        fresh = _loaded(source, config=config, place=place, cache_dir=str(scratch))
        convert = _to_numbers(labels) if _wants_numbers(_features(fresh)["predictions"]) else _unchanged
        for start in range(0, len(pairs), _BATCH_ROWS):
            rows = slice(start, start + _BATCH_ROWS)
            said, true = (list(map(convert, column[rows])) for column in (pairs.said, pairs.true))
            fresh.add_batch(predictions=said, references=true)
        return fresh.compute(**options)

    return value


def _loaded(source: str, *, config: str | None, place: str, cache_dir: str | None = None) -> Any:
    try:
        # Several ranks of a machine, or runs, would else wait for the lock of one another's file.
        return evaluate.load(source, config_name=config, cache_dir=cache_dir, experiment_id=uuid.uuid4().hex)
    except Exception as error:
        raise UserError(f"{place}.source: {source} cannot be loaded: {type(error).__name__}: {error}") from error


def _features(module: Any) -> Features:
    """What a batch of it has; the first form of several."""
    features = module.features
    return features[0] if isinstance(features, list) else features


def _wants_numbers(feature: Any) -> bool:
    inner = feature.feature if isinstance(feature, ListOf) else feature
    return isinstance(inner, Value) and "int" in inner.dtype


def _unchanged(value: Any) -> Any:
    return value


def _to_numbers(labels: Sequence[str]) -> Callable[[Any], Any]:
    """A label as its place among all; several as a 1 or 0 for each."""
    number_of = {label: number for number, label in enumerate(labels)}

    def convert(value: Any) -> Any:
        if isinstance(value, str) and value in number_of:
            return number_of[value]
        if isinstance(value, list) and all(each in number_of for each in value):
            return [int(label in value) for label in labels]
        return value

    return convert
