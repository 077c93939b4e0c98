"""How do the sources of a document become checked, tokenised splits, written to one directory?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from eagleray.data import training
from eagleray.data.checks import (
    DataReport,
    Finding,
    SplitFacts,
    check_lengths,
    check_rows,
    split_report,
)
from eagleray.data.encoder import Encoder, Row
from eagleray.data.rows import RowFacts, StoredRows, write_rows
from eagleray.data.sources import read_rows
from eagleray.data.split import split, strata
from eagleray.data.tokenized import rows_path, write_languages, write_split
from eagleray.data.training import Progress
from eagleray.errors import DataError
from eagleray.spec.data import DataSpec
from eagleray.spec.task.content import RowContent


@dataclass(frozen=True, slots=True)
class Built:
    """What was written."""

    labels: tuple[str, ...]
    languages: tuple[str, ...]  # of the rows, in order; () where no column tells them
    splits: dict[str, str]  # split -> the source its rows came from
    report: DataReport


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one split before tokenising."""

    source: str  # "train" for what is drawn from the training source
    numbers: np.ndarray  # (rows,) which rows of its source, ascending
    facts: SplitFacts


def build(
    directory: Path,
    *,
    spec: DataSpec,
    task: Encoder,
    content: RowContent,
    tokenizer: Any,
    seed: int,
    on_progress: Progress,
) -> Built:
    """Read, check, split and tokenise the data of `spec` into `directory`.

    Raises:
        DataError: what is wrong with the data: everything that was found, with places.
    """
    rows = _read(directory, spec=spec, task=task, content=content, on_progress=on_progress)
    labels = task.labels or _label_set(rows["train"])
    languages = tuple(sorted({name for each in rows.values() for name in each.language_names if name}))
    chosen = _chosen(rows, spec=spec, content=content, seed=seed)
    labels_parts = bool(getattr(task, "labels_parts", False))
    parts = {
        name: _part(rows, name=name, numbers=numbers, spec=spec, labels_parts=labels_parts)
        for name, numbers in chosen.numbers.items()
    }
    train, *others = (part.facts for part in parts.values())
    findings = [_left_out(name, facts) for name, facts in rows.items() if facts.problems.count]
    findings += [*chosen.findings, *check_rows(train, tuple(others), declared=task.labels)]
    _refuse(findings)
    epoch = training.epoch(
        directory, chosen, rows["train"], spec=spec, content=content, seed=seed, on_progress=on_progress
    )
    labelled = task.with_labels(labels) if labels else task
    encode = partial(_encode, task=labelled, tokenizer=tokenizer, max_length=spec.max_length)
    reports, cut = [], {"max_length": spec.max_length}
    for name, part in parts.items():
        read, used = part, part
        if name == "train":
            read = _Part(epoch.source, epoch.numbers, part.facts)
            used = _part(rows, name=name, numbers=epoch.rows, spec=spec, labels_parts=labels_parts)
        on_rows = partial(on_progress, f"tokenising {name}")
        tokens = write_split(
            directory, name=name, source=read.source, numbers=read.numbers, encode=encode, on_rows=on_rows
        )
        if languages and name != "train":
            write_languages(directory, name, training.languages_of(rows[part.source], languages)[tokens.numbers])
        lengths = tokens.full_lengths
        findings += check_lengths(name, lengths, num_without_targets=tokens.num_without_targets, **cut)
        reports.append(split_report(part.facts, train=train, used=used.facts, full_lengths=lengths, **cut))
    _refuse(findings)
    return Built(
        labels=labels,
        languages=languages,
        splits={**{name: part.source for name, part in parts.items()}, "train": epoch.source},
        report=DataReport(
            splits=tuple(reports),
            max_length=spec.max_length,
            warnings=tuple(finding.message for finding in findings),
            steps=training.report(chosen, epoch, rows, languages=languages),
        ),
    )


def named_sources(spec: DataSpec) -> dict[str, str]:
    """Return the sources of a document by the split they are named for; "train" is the first."""
    named = {"train": spec.train, "validation": spec.validation.file, "test": spec.test}
    return {name: source for name, source in named.items() if source is not None}


def fractions(spec: DataSpec) -> dict[str, float]:
    """Return the splits that are drawn from the training rows, and their shares."""
    named = {"validation": spec.validation.fraction, "test": spec.test_fraction}
    return {name: fraction for name, fraction in named.items() if fraction is not None}


def _read(
    directory: Path, *, spec: DataSpec, task: Encoder, content: RowContent, on_progress: Progress
) -> dict[str, RowFacts]:
    """Write the canonical rows of every source; all that is wrong with any row is told at once."""
    rows = {
        name: write_rows(
            read_rows(source, split=name),
            reader=training.reader(spec, task=task, content=content, is_learned_from=name == "train"),
            keep=spec.keep,
            path=rows_path(directory, name),
            on_rows=partial(on_progress, f"reading {name}"),
        )
        for name, source in named_sources(spec).items()
    }
    tolerated: float = getattr(task, "max_broken", 0.0)
    messages = [
        _refused(name, facts)
        for name, facts in rows.items()
        if facts.problems.count > tolerated * (facts.problems.count + len(facts))
    ]
    messages += [
        f"{name}: no row is left of {named_sources(spec)[name]}: spec.data.keep dropped all {facts.num_dropped:,}"
        for name, facts in rows.items()
        if not len(facts) and not facts.problems.count
    ]
    if messages:
        raise DataError("\n".join(messages))
    return rows


def _left_out(name: str, facts: RowFacts) -> Finding:
    problems, more = facts.problems, facts.problems.count - len(facts.problems.examples)
    named = "; ".join(problems.examples) + (f"; and {more:,} more" if more else "")
    return Finding("warning", f"{name}: {problems.count:,} rows cannot be used and are left out: {named}")


def _chosen(rows: dict[str, RowFacts], *, spec: DataSpec, content: RowContent, seed: int) -> training.Chosen:
    """The rows of each split that are used."""
    together = training.together(rows["train"], spec)
    return training.choose_rows(
        _numbers(rows, spec=spec, seed=seed, together=together),
        rows,
        groups=None if spec.clean.duplicates == "keep" else together,
        spec=spec,
        content=content,
        seed=seed,
    )


def _refused(name: str, facts: RowFacts) -> str:
    problems = facts.problems
    total = problems.count + len(facts)
    lines = [f"{name}: {problems.count:,} of {total:,} rows cannot be used; correct them or leave them out:"]
    lines += [f"  {example}" for example in problems.examples]
    more = problems.count - len(problems.examples)
    return "\n".join(lines + ([f"  and {more:,} more"] if more else []))


def _label_set(rows: RowFacts) -> tuple[str, ...]:
    """The labels of the training source in order: numbers by value, so that label "10" is not class 2."""
    labels = {label for labels in rows.label_sets for label in labels}
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _numbers(rows: dict[str, RowFacts], *, spec: DataSpec, seed: int, together: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of each split, ascending numbers of its source, in the order train, validation, test."""
    drawn = _draw(rows["train"], spec=spec, seed=seed, together=together)
    return {
        name: drawn[name] if name in drawn else np.arange(len(rows[name]))
        for name in ("train", "validation", "test")
        if name in rows or name in drawn
    }


def _draw(rows: RowFacts, *, spec: DataSpec, seed: int, together: np.ndarray) -> dict[str, np.ndarray]:
    shares = fractions(spec)
    if sum(shares.values()) >= 1:
        raise DataError(
            f"spec.data: the fractions for {' and '.join(shares)} add up to 1 or more: nothing is left to train on"
        )
    drawn = split(together, strata(rows.combinations, rows.label_sets), fractions=shares, seed=seed)
    for name, share in shares.items():
        if not len(drawn[name]):
            key = "spec.data.validation.fraction" if name == "validation" else "spec.data.test_fraction"
            raise DataError(f"{key}: {share} of {len(rows):,} rows gives no {name} row: {_remedy(rows, share)}")
    return drawn


def _remedy(rows: RowFacts, share: float) -> str:
    if round(share * len(rows)) >= 1:
        return "rows of equal input stay together and every label keeps one for training; add rows that differ"
    digits = math.ceil(math.log10(len(rows))) + 1
    smallest = math.ceil(10**digits / len(rows)) / 10**digits
    return f"{smallest:g} gives one; a few dozen are needed for metrics that mean something"


def _part(sources: dict[str, RowFacts], *, name: str, numbers: np.ndarray, spec: DataSpec, labels_parts: bool) -> _Part:
    source = name if name in sources else "train"
    rows = sources[source]
    stored = cache(lambda: StoredRows(rows.path))
    is_drawn = source != name
    facts = SplitFacts(
        name=name,
        source=named_sources(spec)[source],
        is_drawn=is_drawn,
        num_dropped=0 if is_drawn else rows.num_dropped,
        identities=rows.identities[numbers],
        combinations=rows.combinations[numbers],
        label_sets=rows.label_sets,
        place=lambda row: stored().place(int(numbers[row])),
        labels_parts=labels_parts,
    )
    return _Part(source=source, numbers=numbers, facts=facts)


def _encode(rows: list[Row], *, task: Encoder, tokenizer: Any, max_length: int) -> dict[str, list[Any]]:
    return task.encode(rows, tokenizer, max_length)


def _refuse(findings: list[Finding]) -> None:
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise DataError("\n".join(errors))
