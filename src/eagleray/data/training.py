"""What is done with the rows between their source and their tokens? Reading, choosing, balancing, augmenting.

Each step of `data` in turn: rows are dropped first, then a few are drawn, balanced, and copied with changes. All of it
concerns the training split; the others are read and cleaned alike, and keep every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from eagleray.data import choose, clean, likeness, texts
from eagleray.data.augment import copies, steps
from eagleray.data.checks import Finding
from eagleray.data.choose import Dropped
from eagleray.data.encoder import Encoder
from eagleray.data.reading import Reader, Wanted
from eagleray.data.rows import RowFacts, StoredRows
from eagleray.data.split import named_strata
from eagleray.data.steps import (
    EXCERPT,
    AugmentReport,
    BalanceReport,
    ChangeReport,
    DropReport,
    StepsReport,
    TextSample,
)
from eagleray.data.tokenized import rows_path
from eagleray.data.wording import did_you_mean, listed
from eagleray.errors import DataError
from eagleray.spec.data import DataSpec
from eagleray.spec.task.content import RowContent

Progress = Callable[[str, int], None]
"""(what is being done, how much of it is done): at least once a batch of 1,000 rows."""

MAX_SAMPLES = 3
OTHER_LANGUAGE = "not in train_languages"
_NAMED_LANGUAGES = 20


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows of each split, each once, and what was left out for it."""

    numbers: dict[str, np.ndarray]  # ascending, of its source
    drops: tuple[DropReport, ...] = ()
    few_shot: dict[str, int] | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Epoch:
    """The training rows as often as an epoch uses them."""

    source: str  # whose rows they are: "train", or "augmented"
    numbers: np.ndarray  # of that source
    rows: np.ndarray  # the same as rows of the training source
    balance: BalanceReport | None = None
    augment: AugmentReport | None = None


def reader(spec: DataSpec, *, task: Encoder, content: RowContent, is_learned_from: bool) -> Reader:
    """Return how the rows of a source are read; only of those to learn from is asked whether they are wanted."""
    rules = spec.clean
    wanted = Wanted(rules.languages, rules.language_confidence, rules.min_characters, rules.max_characters)
    return Reader(
        task,
        keys=content.texts,
        cleaner=clean.cleaner(rules, content.texts),
        wanted=wanted if is_learned_from else Wanted(),
        language=spec.language,
        signs=is_learned_from and rules.duplicates == "near",
        files=content.files,
    )


def together(rows: RowFacts, spec: DataSpec) -> np.ndarray:
    """Return (rows,) uint64, equal for rows that must be on one side of a split: equal inputs, or much alike ones."""
    if spec.clean.duplicates != "near" or rows.signatures is None:
        return rows.identities
    found = likeness.groups(
        rows.signatures, rows=len(rows), identities=rows.identities, similarity=spec.clean.similarity
    )
    rows.signatures.unlink()  # a quarter of a kilobyte a row, and asked once
    return found


def choose_rows(
    numbers: Mapping[str, np.ndarray],
    rows: Mapping[str, RowFacts],
    *,
    groups: np.ndarray | None,
    spec: DataSpec,
    content: RowContent,
    seed: int,
) -> Chosen:
    """Return which rows of each split are used. `groups`: of the training source, of which one row each is enough.

    Raises:
        DataError: nothing is left to learn from, or no row is in one of `train_languages`.
    """
    chosen = dict(numbers)
    drops: list[DropReport] = []
    _refuse_unknown(spec.train_languages, rows["train"].language_names)
    for name in ("train", "validation") if spec.train_languages else ():
        source = rows[name if name in rows else "train"]
        chosen[name], dropped = _of_languages(chosen[name], source, spec)
        drops += _reports(name, dropped, source, content)
    train = rows["train"]
    reason = "repeats another" if spec.clean.duplicates == "exact" else "much like another"
    chosen["train"], fell = choose.fit(chosen["train"], unfit=train.unfit, groups=groups, reason_of_group=reason)
    drops += _reports("train", fell, train, content)
    _refuse_empty(chosen, drops)
    if spec.few_shot is None:
        return Chosen(chosen, tuple(drops))
    classes, names = named_strata(train.combinations[chosen["train"]], train.label_sets)
    per_class = spec.few_shot.per_class
    chosen["train"] = choose.few(chosen["train"], classes, per_class=per_class, draw=spec.few_shot.draw, seed=seed)
    classes, names = named_strata(train.combinations[chosen["train"]], train.label_sets)
    counts = choose.counted(classes, names)
    short = choose.shortfall(counts, per_class)
    return Chosen(chosen, tuple(drops), counts, (Finding("warning", short),) if short else ())


def epoch(
    directory: Path,
    chosen: Chosen,
    rows: RowFacts,
    *,
    spec: DataSpec,
    content: RowContent,
    seed: int,
    on_progress: Progress,
) -> Epoch:
    """Balance the training rows, and write their changed copies where the document asks for some."""
    numbers, balance = _balanced(chosen.numbers["train"], rows, spec=spec, seed=seed)
    if spec.augment is None:
        return Epoch("train", numbers, numbers, balance)
    report, positions = copies.write(
        rows.path,
        numbers,
        rows_path(directory, "augmented"),
        steps=steps.build(spec.augment),
        keys=content.inputs,
        share=spec.augment.share,
        copies=spec.augment.copies,
        seed=seed,
        on_rows=partial(on_progress, "augmenting train"),
    )
    return Epoch("augmented", np.arange(len(positions)), numbers[positions], balance, report)


def report(chosen: Chosen, used: Epoch, rows: Mapping[str, RowFacts], *, languages: tuple[str, ...]) -> StepsReport:
    """Return what was done, for the data report."""
    by_split = {}
    for name, numbers in chosen.numbers.items() if languages else ():
        source = rows[name if name in rows else "train"]
        of_rows = source.languages[used.rows if name == "train" else numbers]
        by_split[name] = dict(sorted(choose.counted(of_rows, source.language_names).items()))
    return StepsReport(
        changes=_changes(rows),
        drops=chosen.drops,
        few_shot=chosen.few_shot or {},
        balance=used.balance,
        augment=used.augment,
        languages=by_split,
    )


def languages_of(rows: RowFacts, languages: tuple[str, ...]) -> np.ndarray:
    """Return which of `languages` each row of a source is in: (rows,) int."""
    index_of = {name: number for number, name in enumerate(languages)}
    return np.take(np.array([index_of[name] for name in rows.language_names]), rows.languages)


def _of_languages(numbers: np.ndarray, rows: RowFacts, spec: DataSpec) -> tuple[np.ndarray, list[Dropped]]:
    wanted = [number for number, name in enumerate(rows.language_names) if name in spec.train_languages]
    stays = np.isin(rows.languages[numbers], wanted)
    return numbers[stays], [] if stays.all() else [Dropped(OTHER_LANGUAGE, numbers[~stays])]


def _balanced(
    numbers: np.ndarray, rows: RowFacts, *, spec: DataSpec, seed: int
) -> tuple[np.ndarray, BalanceReport | None]:
    if spec.balance is None:
        return numbers, None

    def classes(of: np.ndarray) -> tuple[np.ndarray, list[str]]:
        if spec.balance is not None and spec.balance.by == "language":
            return rows.languages[of], list(rows.language_names)
        return named_strata(rows.combinations[of], rows.label_sets)

    before, names = classes(numbers)
    balanced = choose.balanced(numbers, before, spec.balance, seed=seed)
    place = np.searchsorted(numbers, balanced)  # the class of a row is what it was: by new counts it could be another
    return balanced, BalanceReport(
        by=spec.balance.by, before=choose.counted(before, names), after=choose.counted(before[place], names)
    )


def _refuse_unknown(wanted: Sequence[str], there: Sequence[str]) -> None:
    for name in wanted:
        if name not in there:
            raise DataError(
                f"spec.data.train_languages: no training row is in {name!r}{did_you_mean(name, there)}; there are "
                f"{listed(sorted(filter(None, there)), limit=_NAMED_LANGUAGES)}"
            )


def _refuse_empty(chosen: Mapping[str, np.ndarray], drops: list[DropReport]) -> None:
    for name in ("train", "validation"):
        if not len(chosen[name]):
            told = ", ".join(f"{drop.reason} {drop.rows:,}" for drop in drops if drop.split == name)
            raise DataError(f"{name}: no row is left, spec.data dropped them all: {told}")


def _changes(rows: Mapping[str, RowFacts]) -> tuple[ChangeReport, ...]:
    changed = {step for facts in rows.values() for step in facts.changes.rows}
    names = [step for step in clean.STEPS if step in changed]
    return tuple(
        ChangeReport(
            step=step,
            rows={name: facts.changes.rows.get(step, 0) for name, facts in rows.items()},
            samples=tuple(
                TextSample.around_change(*sample)
                for facts in rows.values()
                for sample in facts.changes.samples.get(step, ())
            )[:MAX_SAMPLES],
        )
        for step in names
    )


def _reports(split: str, dropped: list[Dropped], rows: RowFacts, content: RowContent) -> list[DropReport]:
    found = StoredRows(rows.path) if dropped else None
    return [
        DropReport(
            split=split,
            reason=each.reason,
            rows=len(each.numbers),
            samples=tuple(
                f"{found.place(number)}: {texts.joined(found.row(number), content.texts)[:EXCERPT]}"
                for number in each.numbers[:MAX_SAMPLES].tolist()
                if found is not None
            ),
        )
        for each in dropped
    ]
