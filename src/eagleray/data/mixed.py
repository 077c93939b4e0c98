"""What are the samples of several tasks together? Those of each, as often in an epoch as a document says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from eagleray.data import choose
from eagleray.data.checks import DataReport
from eagleray.data.encoder import Row, Sample
from eagleray.data.prepare import Prepared, sha256
from eagleray.data.steps import BalanceReport, StepsReport
from eagleray.data.tokenized import Split
from eagleray.errors import DataError
from eagleray.spec.balance import TemperatureSpec
from eagleray.spec.task.multi_task import (
    SELECTOR,
    MixingSpec,
    SizeMixingSpec,
    TemperatureMixingSpec,
    WeightsMixingSpec,
)

NUMBER = "member"
"""The key of a sample that says which of the tasks it is of."""


@dataclass(frozen=True, slots=True, eq=False)
class MixedSplit:
    """The samples of several splits under numbers of their own; what is random about it was drawn before."""

    parts: Mapping[str, Split]  # by the name of the task; those that have such a split
    positions: Mapping[str, int]  # of each part its place among all tasks of the document
    members: np.ndarray  # (samples,) int64: which of the parts a sample is of
    within: np.ndarray  # (samples,) int64: its number there
    lengths: np.ndarray  # (samples,) int32: tokens after the cut
    shares: Mapping[str, float]  # of each task in an epoch of training

    def __len__(self) -> int:
        return len(self.members)

    @property
    def languages(self) -> np.ndarray | None:
        """Not known of several tasks."""
        return None

    def samples(self, indices: np.ndarray) -> list[Sample]:
        """Return samples by number, each with its own as "index" and the number of its task."""
        indices = np.asarray(indices)
        found: list[Sample] = [{}] * len(indices)
        for number, (name, part) in enumerate(self.parts.items()):
            places = np.flatnonzero(self.members[indices] == number)
            if not len(places):
                continue
            for place, sample in zip(places.tolist(), part.samples(self.within[indices[places]]), strict=True):
                found[place] = sample | {"index": int(indices[place]), NUMBER: self.positions[name]}
        return found

    def row(self, index: int) -> Row:
        """Return the row of a sample, and which task it is of."""
        name, part = self._part(index)
        return {SELECTOR: name, **part.row(int(self.within[index]))}

    def place(self, index: int) -> str:
        """Return where the row of a sample came from."""
        return self._part(index)[1].place(int(self.within[index]))

    def _part(self, index: int) -> tuple[str, Split]:
        return list(self.parts.items())[int(self.members[index])]


def together(prepared: Mapping[str, Prepared], mixing: MixingSpec, *, seed: int) -> Prepared:
    """Return the data of several tasks as those of one run.

    The label set holds the labels of all, each behind the name of its task: `tone/good`.

    Raises:
        DataError: a task would have no row in an epoch.
    """
    names = tuple(prepared)
    sizes = [len(each.train) for each in prepared.values()]
    numbers = epoch(names, sizes, mixing, seed=seed)
    counts = np.histogram(numbers, bins=np.cumsum([0, *sizes]))[0]
    shares = dict(zip(names, (counts / counts.sum()).tolist(), strict=True))
    tests = {name: each.test for name, each in prepared.items() if each.test is not None}
    return Prepared(
        train=_mixed({name: each.train for name, each in prepared.items()}, names, shares, numbers=numbers),
        validation=_mixed({name: each.validation for name, each in prepared.items()}, names, shares),
        test=_mixed(tests, names, shares) if tests else None,
        labels=tuple(f"{name}/{label}" for name, each in prepared.items() for label in each.labels),
        languages=(),
        report=_report(prepared, counts=dict(zip(names, counts.tolist(), strict=True))),
        fingerprint=fingerprint({name: each.fingerprint for name, each in prepared.items()}, mixing, seed=seed),
        from_cache=all(each.from_cache for each in prepared.values()),
    )


def fingerprint(of_each: Mapping[str, str], mixing: MixingSpec, *, seed: int) -> str:
    """Return what tells these data from others, by the fingerprints of each task's own."""
    drawn = None if isinstance(mixing, SizeMixingSpec) else seed
    return sha256(list(of_each.items()), mixing.model_dump(mode="json"), drawn)


def epoch(names: Sequence[str], sizes: Sequence[int], mixing: MixingSpec, *, seed: int) -> np.ndarray:
    """Return the samples of an epoch, ascending, numbered through all tasks, whose `sizes` are given.

    Some come several times and some not at all, but for mixing by size.
    """
    total = sum(sizes)
    members = np.repeat(np.arange(len(sizes)), sizes)
    counts = np.asarray(sizes)
    match mixing:
        case SizeMixingSpec():
            return np.arange(total)
        case TemperatureMixingSpec():
            wanted = choose.targets(counts, TemperatureSpec(type="temperature", temperature=mixing.temperature))
        case WeightsMixingSpec():
            weights = np.array([mixing.weights[name] for name in names])
            wanted = np.rint(total * weights / weights.sum()).astype(np.int64)
        case _:
            assert_never(mixing)
    for name, rows in zip(names, wanted.tolist(), strict=True):
        if not rows:
            raise DataError(f"spec.task.mixing: {name} gets no row of the {total:,} in an epoch: give it a larger part")
    return choose.repeated(np.arange(total), members, wanted, draw=("mixing", seed))


def _mixed(
    parts: Mapping[str, Split],
    names: Sequence[str],
    shares: Mapping[str, float],
    *,
    numbers: np.ndarray | None = None,
) -> MixedSplit:
    """The samples of these `numbers`, through all parts; every sample once where none are given."""
    bounds = np.cumsum([0, *map(len, parts.values())])
    if numbers is None:
        numbers = np.arange(bounds[-1])
    members = np.searchsorted(bounds, numbers, side="right") - 1
    return MixedSplit(
        parts=dict(parts),
        positions={name: names.index(name) for name in parts},
        members=members,
        within=numbers - bounds[members],
        lengths=np.concatenate([part.lengths for part in parts.values()])[numbers],
        shares=shares,
    )


def _report(prepared: Mapping[str, Prepared], *, counts: dict[str, int]) -> DataReport:
    each = {name: one.report for name, one in prepared.items()}
    splits = tuple(
        split.model_copy(update={"name": f"{name}/{split.name}"})
        for name, report in each.items()
        for split in report.splits
    )
    warnings = tuple(f"{name}/{warning}" for name, report in each.items() for warning in report.warnings)
    samples = {name: len(one.train) for name, one in prepared.items()}
    steps = StepsReport(balance=None if samples == counts else BalanceReport(by="task", before=samples, after=counts))
    return DataReport(splits=splits, max_length=next(iter(each.values())).max_length, warnings=warnings, steps=steps)
