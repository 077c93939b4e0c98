"""Is there something wrong, or suspicious, with the rows? Pure: facts in, report and findings out.

An error is what cannot be trained on; a warning is what the user should look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from eagleray.data.steps import StepsReport
from eagleray.data.wording import listed

MAX_EXAMPLES = 3
MAX_LABELS = 5
CUT_SHARE = 0.1
"""Above this share of cut samples, cutting is a choice that the user should make knowingly."""
MAJORITY_SHARE = 0.9
"""Above this share of one label, accuracy says little."""
HISTOGRAM_FIRST_EDGE = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or suspicious, with the data."""

    severity: Literal["error", "warning"]
    message: str


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """One split before tokenising."""

    name: str  # "train", "validation", "test"
    source: str  # as the document names it
    is_drawn: bool  # a fraction of the training source
    num_dropped: int  # of its source, by `keep`
    identities: np.ndarray  # (rows,) uint64: equal for equal inputs
    combinations: np.ndarray  # (rows,) int32: which of `label_sets` a row has
    label_sets: tuple[tuple[str, ...], ...]
    place: Callable[[int], str]  # where a row came from: "reviews.jsonl:17"
    labels_parts: bool = False  # a label is of some part of its row: one that all rows have still tells parts apart

    def __len__(self) -> int:
        return len(self.identities)


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LengthReport(_Report):
    """The lengths of the samples of a split, in tokens before the cut."""

    shortest: int
    median: int
    p95: int
    longest: int
    edges: tuple[int, ...]  # upper ends of the bins, inclusive; the last bin is what is longer
    counts: tuple[int, ...]  # one more than edges
    num_cut: int


class SplitReport(_Report):
    """One split."""

    name: str
    source: str
    rows: int
    dropped: int
    label_counts: dict[str, int]
    duplicates: int  # rows whose input an earlier row has
    leaked: int  # rows whose input a training row has
    lengths: LengthReport


class DataReport(_Report):
    """The data of a run."""

    splits: tuple[SplitReport, ...]
    max_length: int
    warnings: tuple[str, ...]
    steps: StepsReport = StepsReport()


def check_rows(train: SplitFacts, others: tuple[SplitFacts, ...], *, declared: tuple[str, ...]) -> list[Finding]:
    """Return what is wrong before tokenising. `declared`: the label set of the document, () where the data tells it."""
    findings = [
        _error(f"{facts.name}: no rows are left of {facts.source}") for facts in (train, *others) if not len(facts)
    ]
    if findings:
        return findings
    findings += _label_findings(train, declared=declared)
    findings += _duplicate_findings(train)
    for other in others:
        findings += _label_set_findings(train, other, declared=declared)
        findings += _leak_findings(train, other)
    return findings


def check_lengths(name: str, full_lengths: np.ndarray, *, num_without_targets: int, max_length: int) -> list[Finding]:
    """Return what is wrong after tokenising a split."""
    findings = []
    rows, num_cut = len(full_lengths), int((full_lengths > max_length).sum())
    if num_cut > CUT_SHARE * rows:
        findings.append(
            _warning(
                f"{name}: {num_cut:,} of {rows:,} rows ({num_cut / rows:.1%}) are longer than "
                f"data.max_length {max_length} and are cut (median {int(np.median(full_lengths))}, longest "
                f"{full_lengths.max()} tokens): raise data.max_length if the model takes it"
            )
        )
    if num_without_targets == rows:
        findings.append(_error(f"{name}: no row has a target within data.max_length {max_length}: raise it"))
    elif num_without_targets:
        findings.append(
            _warning(
                f"{name}: {num_without_targets:,} of {rows:,} rows have no target within data.max_length {max_length}: "
                "nothing is learned from them; raise it or shorten their prompts"
            )
        )
    return findings


def split_report(
    facts: SplitFacts, *, train: SplitFacts, used: SplitFacts, full_lengths: np.ndarray, max_length: int
) -> SplitReport:
    """Return the figures of one split. `used`: its rows as often as an epoch uses them."""
    return SplitReport(
        name=facts.name,
        source=facts.source,
        rows=len(used),
        dropped=facts.num_dropped,
        label_counts=label_counts(used),
        duplicates=len(facts) - len(np.unique(facts.identities)),
        leaked=0 if facts is train else len(_leaked(train, facts)),
        lengths=length_report(full_lengths, max_length=max_length),
    )


def length_report(full_lengths: np.ndarray, *, max_length: int) -> LengthReport:
    """Return the histogram of lengths, its bins doubling up to `max_length`."""
    edges = [HISTOGRAM_FIRST_EDGE]
    while edges[-1] * 2 < max_length:
        edges.append(edges[-1] * 2)
    edges = sorted({*edges, max_length})
    bins = np.searchsorted(edges, full_lengths, side="left")
    middle, p95 = np.percentile(full_lengths, [50, 95])
    return LengthReport(
        shortest=int(full_lengths.min()),
        median=int(middle),
        p95=int(p95),
        longest=int(full_lengths.max()),
        edges=tuple(edges),
        counts=tuple(np.bincount(bins, minlength=len(edges) + 1).tolist()),
        num_cut=int((full_lengths > max_length).sum()),
    )


def label_counts(facts: SplitFacts) -> dict[str, int]:
    """Return how many rows have each label, most frequent first."""
    counts: dict[str, int] = {}
    rows_of_set = np.bincount(facts.combinations, minlength=len(facts.label_sets)).tolist()
    for labels, rows in zip(facts.label_sets, rows_of_set, strict=True):
        for label in labels if rows else ():
            counts[label] = counts.get(label, 0) + rows
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _label_findings(train: SplitFacts, *, declared: tuple[str, ...]) -> list[Finding]:
    """Balance and rare labels of the training rows."""
    counts = label_counts(train)
    if not counts:
        return []
    label, most = next(iter(counts.items()))
    if not train.labels_parts and most == len(train) == sum(counts.values()):
        return [
            _error(f"train: every row has the label {label!r}: there is nothing to tell apart; check spec.task.label")
        ]
    findings = []
    if not train.labels_parts and most >= MAJORITY_SHARE * len(train):
        findings.append(
            _warning(
                f"train: {most / len(train):.1%} of the rows have the label {label!r}: accuracy says little here, "
                "watch f1_macro"
            )
        )
    rare = [label for label, rows in counts.items() if rows < 2]
    if rare:
        findings.append(_warning(f"train: {_named(rare)} in one row only: too few to learn, or misspelt"))
    unseen = [label for label in declared if label not in counts]
    if unseen:
        findings.append(_warning(f"train: no row has {_named(unseen)} of task.labels: it cannot be learned"))
    return findings


def _duplicate_findings(train: SplitFacts) -> list[Finding]:
    """Equal inputs within the training rows, and those whose labels differ."""
    order = np.lexsort((train.combinations, train.identities))
    same = train.identities[order][1:] == train.identities[order][:-1]
    if not same.any():
        return []
    findings = [
        _warning(
            f"train: {int(same.sum()):,} of {len(train):,} rows repeat the input of another row"
            f"{_pairs(train, train, order[1:][same], order[:-1][same])}: they count more than once"
        )
    ]
    differ = same & (train.combinations[order][1:] != train.combinations[order][:-1])
    if differ.any():
        num_inputs = len(np.unique(train.identities[order][1:][differ]))
        findings.append(
            _warning(
                f"train: {num_inputs:,} inputs occur with different labels"
                f"{_pairs(train, train, order[1:][differ], order[:-1][differ])}: at most one of them can be right"
            )
        )
    return findings


def _label_set_findings(train: SplitFacts, other: SplitFacts, *, declared: tuple[str, ...]) -> list[Finding]:
    """Labels that only one of two splits has."""
    in_train, in_other = label_counts(train), label_counts(other)
    findings = []
    unknown = [label for label in in_other if label not in in_train]
    if unknown:
        example = next(
            row for row in range(len(other)) if set(other.label_sets[other.combinations[row]]) & set(unknown)
        )
        message = f"{other.name}: no training row has {_named(unknown)} ({other.place(example)})"
        known = f"train has {listed(list(in_train), limit=MAX_LABELS)}"
        if declared or other.is_drawn:
            findings.append(_warning(f"{message}: the model cannot learn it; {known}"))
        else:
            findings.append(
                _error(f"{message}; {known}: correct the label, add training rows, or leave these out with data.keep")
            )
    absent = [label for label in in_train if label not in in_other]
    if absent:
        why = "too few rows for its share: " if other.is_drawn else ""
        findings.append(_warning(f"{other.name}: no row has {_named(absent)}: {why}its metrics say nothing of it"))
    return findings


def _leak_findings(train: SplitFacts, other: SplitFacts) -> list[Finding]:
    """Inputs of another split that are also trained on."""
    leaked = _leaked(train, other)
    if not len(leaked):
        return []
    order = np.argsort(train.identities, kind="stable")
    found = order[np.searchsorted(train.identities[order], other.identities[leaked])]
    return [
        _warning(
            f"{other.name}: {len(leaked):,} of {len(other):,} rows have the input of a training row"
            f"{_pairs(other, train, leaked, found)}: its metrics are too good; take them out of one of the two"
        )
    ]


def _leaked(train: SplitFacts, other: SplitFacts) -> np.ndarray:
    """Rows of `other` whose input a training row has. A drawn split has none: equal inputs are drawn together."""
    if other.is_drawn:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.isin(other.identities, train.identities))


def _pairs(left: SplitFacts, right: SplitFacts, left_rows: np.ndarray, right_rows: np.ndarray) -> str:
    """The first few pairs of places: " (test.csv:3 = train.csv:9, …)"."""
    first = np.argsort(left_rows, kind="stable")[:MAX_EXAMPLES]
    pairs = [f"{left.place(int(left_rows[n]))} = {right.place(int(right_rows[n]))}" for n in first]
    return f" ({', '.join(pairs)}{', …' if len(left_rows) > MAX_EXAMPLES else ''})"


def _named(labels: list[str]) -> str:
    return f"the label{'s' if len(labels) > 1 else ''} {listed(labels, limit=MAX_LABELS)}"


def _error(message: str) -> Finding:
    return Finding("error", message)


def _warning(message: str) -> Finding:
    return Finding("warning", message)
