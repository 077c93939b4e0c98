"""What is a raw row, cleaned and looked at? A batch of them at a time, in whichever process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eagleray.data import likeness, texts
from eagleray.data.clean import Cleaner
from eagleray.data.encoder import Encoder, Row
from eagleray.data.formats import SourceRow
from eagleray.data.wording import did_you_mean

MAX_EXAMPLES = 5
MAX_SAMPLES = 3

EMPTIED, OTHER_LANGUAGE, TOO_SHORT, TOO_LONG = 1, 2, 3, 4
UNFIT = {EMPTIED: "emptied", OTHER_LANGUAGE: "language", TOO_SHORT: "too short", TOO_LONG: "too long"}
"""Why nothing is learned from a row, in the order in which it is asked; 0 is for the others."""


@dataclass(slots=True)
class Problems:
    """What is wrong with the rows of one source: how many rows, and the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, place: str, message: str) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{place}: {message}")

    def extend(self, other: Problems) -> None:
        self.count += other.count
        self.examples = [*self.examples, *other.examples][:MAX_EXAMPLES]


@dataclass(slots=True)
class Changes:
    """What cleaning has changed: by step how many rows, and the first few as (place, before, after)."""

    rows: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)

    def add(self, place: str, changes: list[tuple[str, str, str]]) -> None:
        for step in dict.fromkeys(step for step, _, _ in changes):
            self.rows[step] = self.rows.get(step, 0) + 1
        for step, before, after in changes:
            kept = self.samples.setdefault(step, [])
            if len(kept) < MAX_SAMPLES:
                kept.append((place, before, after))

    def extend(self, other: Changes) -> None:
        for step, rows in other.rows.items():
            self.rows[step] = self.rows.get(step, 0) + rows
            self.samples[step] = [*self.samples.get(step, []), *other.samples[step]][:MAX_SAMPLES]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows may be learned from."""

    languages: tuple[str, ...] = ()
    confidence: float = 0.5
    min_characters: int | None = None
    max_characters: int | None = None


@dataclass(slots=True)
class ReadRows:
    """The rows of a batch that can be used, column by column."""

    texts: list[str] = field(default_factory=list)  # canonical rows as JSON
    places: list[str] = field(default_factory=list)
    identities: list[int] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    unfit: list[int] = field(default_factory=list)  # of `UNFIT`
    signatures: np.ndarray | None = None
    problems: Problems = field(default_factory=Problems)
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True, slots=True)
class Reader:
    """What is done with the raw rows of a source."""

    task: Encoder
    keys: tuple[str, ...] = ()  # of canonical rows: what holds their texts
    cleaner: Cleaner | None = None
    wanted: Wanted = Wanted()
    language: str | None = None  # the column of a row's language
    signs: bool = False  # for `likeness`
    files: tuple[str, ...] = ()  # columns of raw rows that name files, relative to the one that the row is from

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every raw row must have."""
        return self.task.columns if self.language is None else (*self.task.columns, self.language)

    def __call__(self, source_rows: list[SourceRow]) -> ReadRows:
        read, known = ReadRows(), frozenset(self.task.labels)
        plain = []
        for source_row in source_rows:
            try:
                row = self._add(read, source_row, known)
            except UnicodeEncodeError as error:
                half = ascii(error.object[error.start])
                read.problems.add(
                    source_row.place, f"{half} is half of a character (a lone surrogate): repair the text"
                )
            except ValueError as error:
                read.problems.add(source_row.place, str(error))
            else:
                plain.append(texts.joined(row, self.keys) if self.signs else "")
        if self.signs and plain:
            read.signatures = likeness.signatures(plain)
        return read

    def _add(self, read: ReadRows, source_row: SourceRow, known: frozenset[str]) -> Row:
        missing = [column for column in self.columns if column not in source_row.raw]
        if missing:
            raise ValueError(f"no {' and no '.join(map(repr, missing))}")
        row = self.task.read(source_row.located(self.files))
        labels = self.task.labels_of(row)
        self._check_labels(labels, known)
        language = "" if self.language is None else _language(source_row.raw, self.language)
        clean = row if self.cleaner is None else self.cleaner.row(row)
        text = json.dumps(clean, ensure_ascii=False)
        identity = _hash(self.task.identity(clean))
        text.encode()
        read.texts.append(text)
        read.places.append(source_row.place)
        read.identities.append(identity)
        read.labels.append(labels)
        read.languages.append(language)
        read.unfit.append(self._unfit(clean))
        if self.cleaner is not None and clean != row:
            traced = [change for each in texts.of(row, self.keys) for change in self.cleaner.traced(each)]
            read.changes.add(source_row.place, traced)
        return clean

    def _unfit(self, row: Row) -> int:
        if not self.keys:
            return 0
        text = texts.joined(row, self.keys)
        if self.cleaner is not None and not text.strip():
            return EMPTIED
        if self.wanted.languages and _is_other(text, self.wanted):
            return OTHER_LANGUAGE
        if self.wanted.min_characters is not None and len(text) < self.wanted.min_characters:
            return TOO_SHORT
        if self.wanted.max_characters is not None and len(text) > self.wanted.max_characters:
            return TOO_LONG
        return 0

    def _check_labels(self, labels: tuple[str, ...], known: frozenset[str]) -> None:
        for label in labels:
            if known and label not in known:
                raise ValueError(
                    f"label {label!r} is not in task.labels ({', '.join(self.task.labels)})"
                    + did_you_mean(label, self.task.labels)
                )


def _is_other(text: str, wanted: Wanted) -> bool:
    from eagleray.data import telling  # its tables take a second and 100 MB: only where they are asked

    code, confidence = telling.language(text)
    return code not in wanted.languages and confidence >= wanted.confidence


def _language(raw: Mapping[str, Any], column: str) -> str:
    value = raw[column]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"column {column!r} holds {value!r}: spec.data.language wants the language of the row there")
    return value.strip()


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
