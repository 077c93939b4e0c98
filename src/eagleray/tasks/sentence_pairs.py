"""Which pairs of sentences are made of rows, and which of them do not belong together?

A pure function of the rows and a seed. What takes a sentence's place comes from another row of the same batch of rows,
which the data preparation reads a thousand at a time, in the order of the source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from eagleray.data import draws

_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\s*\n\s*")  # noqa: RUF001  (full-width marks end sentences too)

_REPLACED = 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences, and whether the second is what followed the first."""

    first: str
    second: str
    is_next: bool
    row: int  # its number among the rows


def sentences(text: str) -> list[str]:
    """A text cut after its sentences and at its line ends."""
    return [part.strip() for part in _END.split(text) if part.strip()]


def drawn(rows: Sequence[Sequence[str]], *, seed: int) -> list[Pair]:
    """Every pair of sentences that follow each other in a row; of each the second is replaced with a chance of a half.

    Where no other row has a sentence, one of the same row takes its place that is neither; where there is none, none.
    """
    pool = [sentence for row in rows for sentence in row[1:]]
    pairs, start = [], 0
    for number, row in enumerate(rows):
        num_own = len(row[1:])
        facts = ("next-sentence", seed, *row)
        chances, words = draws.uniforms(num_own, "replaced", *facts), draws.words(num_own, "by", *facts)
        for place, (first, second) in enumerate(pairwise(row)):
            others = _Others(pool, start, num_own, [*row[:place], *row[place + 2 :]])
            other = others.pick(int(words[place])) if chances[place] < _REPLACED else None
            pairs.append(Pair(first, second if other is None else other, is_next=other is None, row=number))
        start += num_own
    return pairs


@dataclass(frozen=True, slots=True)
class _Others:
    """What may take a sentence's place: those of `pool` but for the `num_own` from `start` on, else some of the row."""

    pool: Sequence[str]
    start: int
    num_own: int
    of_row: Sequence[str]

    def pick(self, word: int) -> str | None:
        num_foreign = len(self.pool) - self.num_own
        if num_foreign:
            index = word % num_foreign
            return self.pool[index + self.num_own if index >= self.start else index]
        return self.of_row[word % len(self.of_row)] if self.of_row else None
