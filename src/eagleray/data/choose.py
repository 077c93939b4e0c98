"""Which rows are learned from, and how often in an epoch? Pure and seeded: row numbers in, row numbers out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from eagleray.data import draws
from eagleray.data.reading import UNFIT
from eagleray.spec.balance import BalanceSpec, OversampleSpec, TemperatureSpec, UndersampleSpec


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that are not learned from, for one reason."""

    reason: str
    numbers: np.ndarray


def fit(
    numbers: np.ndarray, *, unfit: np.ndarray, groups: np.ndarray | None, reason_of_group: str
) -> tuple[np.ndarray, list[Dropped]]:
    """Return the rows that may be learned from, ascending, and what was dropped by which reason, in turn.

    `unfit`: (rows of the source,) of `reading.UNFIT`. `groups`: (rows of the source,), equal for rows of which the
    first is enough; None where all stay.
    """
    dropped = [Dropped(reason, numbers[unfit[numbers] == code]) for code, reason in UNFIT.items()]
    numbers = numbers[unfit[numbers] == 0]
    if groups is not None:
        _, first = np.unique(groups[numbers], return_index=True)
        dropped.append(Dropped(reason_of_group, np.delete(numbers, first)))
        numbers = numbers[np.sort(first)]
    return numbers, [each for each in dropped if len(each.numbers)]


def few(numbers: np.ndarray, classes: np.ndarray, *, per_class: int, draw: int, seed: int) -> np.ndarray:
    """Return `per_class` rows of each class, ascending; all of a class that has fewer.

    `classes`: (numbers,) int.
    """
    order = np.argsort(draws.words(len(numbers), "few-shot", seed, draw), kind="stable")
    return np.sort(np.concatenate([numbers[members[:per_class]] for _, members in _members(classes, order)]))


def balanced(numbers: np.ndarray, classes: np.ndarray, spec: BalanceSpec, *, seed: int) -> np.ndarray:
    """Return the rows of an epoch, ascending, some several times: each class has as many as `targets` says."""
    return repeated(numbers, classes, targets(np.bincount(classes), spec), draw=("balance", seed))


def repeated(numbers: np.ndarray, classes: np.ndarray, wanted: np.ndarray, *, draw: tuple[object, ...]) -> np.ndarray:
    """Return `wanted` rows of each class, (classes,) int, ascending: some several times, or not at all."""
    order = np.argsort(draws.words(len(numbers), *draw), kind="stable")
    parts = []
    for number, members in _members(classes, order):
        whole, rest = divmod(int(wanted[number]), len(members))
        parts += [numbers[members]] * whole + [numbers[members[:rest]]]
    return np.sort(np.concatenate(parts))


def targets(counts: np.ndarray, spec: BalanceSpec) -> np.ndarray:
    """Return how many rows each class shall have, (classes,) int; none where it has none."""
    present = counts[counts > 0]
    match spec:
        case OversampleSpec():
            wanted = np.maximum(counts, round(spec.share * int(present.max())))
        case UndersampleSpec():
            wanted = np.minimum(counts, round(int(present.min()) / spec.share))
        case TemperatureSpec():
            weights = counts.astype(np.float64) ** (1 / spec.temperature) * (counts > 0)
            wanted = np.maximum(1, np.rint(counts.sum() * weights / weights.sum()))
        case _:
            assert_never(spec)
    return np.where(counts > 0, wanted, 0).astype(np.int64)


def counted(classes: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """Return the rows of each class that has some, by its name."""
    counts = np.bincount(classes, minlength=len(names)).tolist()
    return {name: rows for name, rows in zip(names, counts, strict=True) if rows}


def shortfall(counts: Mapping[str, int], per_class: int) -> str | None:
    """Say which labels have fewer rows than were asked for."""
    short = [f"{label!r} {rows}" for label, rows in counts.items() if rows < per_class]
    return f"train: data.few_shot wants {per_class} rows of each label: there are {', '.join(short)}" if short else None


def _members(classes: np.ndarray, order: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each class and where its rows are, in the order of the draw."""
    by_class = order[np.argsort(classes[order], kind="stable")]
    bounds = np.searchsorted(classes[by_class], np.arange(int(classes.max(initial=0)) + 2))
    for number in range(len(bounds) - 1):
        if bounds[number] < bounds[number + 1]:
            yield number, by_class[bounds[number] : bounds[number + 1]]
