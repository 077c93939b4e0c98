"""How do sequences of unlike length become rows of one length: padded singly, or several packed into a row?"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return rows of sequence numbers, the lengths of each row adding up to `capacity` at most.

    Rows are padded to the longest of them. Of each number of rows from the fewest on, the one that takes the least room
    in all is taken; among equals the most rows, as attention within short rows is cheaper.

    Raises:
        ValueError: a sequence is longer than `capacity`.
    """
    longest, total = max(lengths, default=0), sum(lengths)
    if longest > capacity:
        raise ValueError(f"a sequence of {longest} tokens does not fit into a row of {capacity}")
    if not lengths:
        return []
    best, least = [[number] for number in range(len(lengths))], longest * len(lengths)
    for count in range(-(-total // capacity), -(-total // longest) + 1):
        rows, length = _level(lengths, count)
        if length <= capacity and length * count <= least:
            best, least = rows, length * count
    return best


def _level(lengths: Sequence[int], count: int) -> tuple[list[list[int]], int]:
    """So many rows, and the longest's length: the longest sequence first, each to the shortest row (Graham 1969)."""
    rows: list[list[int]] = [[] for _ in range(count)]
    shortest = [(0, row) for row in range(count)]
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        length, row = shortest[0]
        rows[row].append(number)
        heapq.heapreplace(shortest, (length + int(lengths[number]), row))
    return rows, max(shortest)[0]


def pad(
    sequences: Sequence[npt.ArrayLike], *, value: float, dtype: npt.DTypeLike = np.int64, multiple_of: int = 1
) -> np.ndarray:
    """Return (sequences, longest) of `dtype`, filled up on the right with `value`.

    `multiple_of` rounds the longest up: fewer shapes to compile for, aligned rows for tensor cores.
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    longest = max((len(array) for array in arrays), default=0)
    padded = np.full((len(arrays), -(-longest // multiple_of) * multiple_of), value, dtype=dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
