"""What is random about a sample? A pure function of names and numbers, such as seed, epoch and the sample's index.

So what is drawn is the same for any number of workers, after any restart and with any version of numpy: it is read from
the raw words of Philox, which numpy keeps as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Item = TypeVar("_Item")


def words(size: int, *facts: object) -> np.ndarray:
    """Return (size,) uint64 random words, a function of the facts alone: raw Philox, which numpy keeps as it is."""
    return np.random.Philox(np.random.SeedSequence(np.frombuffer(_digest(facts), dtype="<u4").tolist())).random_raw(
        size
    )


class Draw:
    """Random choices in a row, a function of the facts alone."""

    def __init__(self, *facts: object) -> None:
        self._key = _digest(facts)
        self._count = 0

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1. The bias of the remainder is below 2 ** -40 for any text."""
        return self._word() % limit

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self._word() / 2**64 < probability

    def choice(self, items: Sequence[_Item]) -> _Item:
        """One of the items."""
        return items[self.below(len(items))]

    def sample(self, size: int, count: int) -> list[int]:
        """`count` different numbers below `size`, in the order in which they were drawn."""
        numbers = list(range(size))
        for place in range(min(count, size)):
            other = place + self.below(size - place)
            numbers[place], numbers[other] = numbers[other], numbers[place]
        return numbers[:count]

    def _word(self) -> int:
        self._count += 1
        counter = self._count.to_bytes(8, "little")
        return int.from_bytes(hashlib.blake2b(counter, key=self._key, digest_size=8).digest(), "little")


def uniforms(size: int, *facts: object) -> np.ndarray:
    """Return (size,) float64 in [0, 1) that follow from `facts` alone."""
    return (words(size, *facts) >> np.uint64(11)) * 2.0**-53


def how_many(size: int, rate: float) -> int:
    """A share of `size` things: one at least where there are any."""
    return min(size, max(1, round(size * rate)))


def _digest(facts: tuple[object, ...]) -> bytes:
    return hashlib.sha256("\0".join(map(str, facts)).encode()).digest()
