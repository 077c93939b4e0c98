"""In what do runs differ: their documents, what they were made with, and what they score?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from eagleray.errors import DocumentError
from eagleray.spec import document as documents
from eagleray.spec.reported import direction
from eagleray.store import best, paths, runs
from eagleray.store.objects import Objects
from eagleray.store.runs import LockRecord, RunRecord

_JUDGED = ("validation", "test")
"""The splits whose best value is marked: the others say what no learning scores."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A key with another value in one run than in another; None where a run has no such key."""

    key: str
    values: tuple[Any, ...]  # by run


@dataclass(frozen=True, slots=True)
class Score:
    """A metric of a split; None where a run has no such number."""

    split: str
    metric: str
    values: tuple[float | None, ...]  # by run
    best: tuple[bool, ...]  # by run; none where all are equal, or nobody knows which way is better


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs. Each tuple of values is in the order of the runs."""

    records: tuple[RunRecord, ...]
    document: tuple[Difference, ...]
    made_with: tuple[Difference, ...]
    scores: tuple[Score, ...]

    @property
    def has_same_data(self) -> bool:
        """Whether the scores are of the same rows."""
        return all(each.key != "data_fingerprint" for each in self.made_with)


def compare(objects: Objects, records: Sequence[RunRecord]) -> Comparison:
    """Compare runs by what the storage has of them."""
    texts = {record.run: runs.read_document(objects, record.run) for record in records}
    return Comparison(
        records=tuple(records),
        document=tuple(differences([_flat(document) for document in _documents(texts)])),
        made_with=tuple(differences([_made_with(runs.read_lock(objects, record.run)) for record in records])),
        scores=tuple(scores([record.metrics for record in records])),
    )


def differences(given: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """The keys whose values are not the same everywhere, in the order in which they stand."""
    for key in dict.fromkeys(key for each in given for key in each):
        values = tuple(each.get(key) for each in given)
        if any(value != values[0] or type(value) is not type(values[0]) for value in values):
            yield Difference(key, values)


def scores(metrics: Sequence[Mapping[str, Mapping[str, Any]]]) -> Iterator[Score]:
    """Every number of every split, with the best of each marked."""
    for split in dict.fromkeys(split for each in metrics for split in each):
        measured = [each.get(split, {}) for each in metrics]
        for metric in dict.fromkeys(name for each in measured for name in each):
            values = tuple(best.value_of(each, metric) for each in measured)
            if any(value is not None for value in values):
                yield Score(split, metric, values, _best(metric, values if split in _JUDGED else ()) or _none(values))


def _best(metric: str, values: Sequence[float | None]) -> tuple[bool, ...]:
    """Which values are the best; empty where that says nothing."""
    numbers = {value for value in values if value is not None}
    better = direction(metric)
    if better is None or len(numbers) < 2:
        return ()
    winner = max(numbers) if better == "max" else min(numbers)
    return tuple(value == winner for value in values)


def _none(values: Sequence[float | None]) -> tuple[bool, ...]:
    return (False,) * len(values)


def _documents(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """With every default, so that none seems to differ; as they stand where one is of another version's making."""
    try:
        loaded = [documents.loads(text, source=paths.document(run)).document for run, text in texts.items()]
    except DocumentError:
        return [yaml.safe_load(text) for text in texts.values()]
    return [document.model_dump(mode="json") for document in loaded]


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves by dotted keys, as `--set` takes them."""
    return {key.removeprefix("spec."): value for key, value in _leaves(document, "")}


def _leaves(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _made_with(lock: LockRecord) -> dict[str, Any]:
    return dict(_leaves(lock.model_dump(mode="json"), ""))
