"""How do sequences of unlike length become rows of one length: padded singly, or several packed into a row?"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FULL = 0.98
"""With so large a share of the places in use no better rows are looked for."""


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return rows of sequence numbers, the lengths of each row adding up to `capacity` at most.

    Rows are padded to the longest of them, so they are levelled: first so many that they are no longer than the longest
    sequence, as attention within short rows is cheaper, then fewer and longer ones until little is empty. Where rows
    that are filled one after the other leave fewer places empty, these are taken.

    Raises:
        ValueError: a sequence is longer than `capacity`.
    """
    order = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    longest, total = max(lengths, default=0), sum(lengths)
    if longest > capacity:
        raise ValueError(f"a sequence of {longest} tokens does not fit into a row of {capacity}")
    if not total:
        return [order] if order else []
    best: list[list[int]] = []
    least: float = math.inf
    count = -(-total // longest)
    while count >= -(-total // capacity) and total < FULL * least:
        rows, length = _level(lengths, order, count)
        if length <= capacity and length * count < least:
            best, least = rows, length * count
        count = min(count - 1, count * 15 // 16)
    if total >= FULL * least:
        return best
    filled = _first_fit(lengths, order, capacity)
    return filled if _num_places(lengths, filled) < least else best


def _num_places(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    return len(rows) * max(sum(int(lengths[number]) for number in row) for row in rows)


def _first_fit(lengths: Sequence[int], order: Sequence[int], capacity: int) -> list[list[int]]:
    """First-fit decreasing: at most 11/9 of the fewest rows possible, and one (Johnson 1973)."""
    rows: list[list[int]] = []
    room: list[int] = []
    for number in order:
        length = int(lengths[number])
        row = next((r for r, free in enumerate(room) if free >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(capacity)
        rows[row].append(number)
        room[row] -= length
    return rows


def _level(lengths: Sequence[int], order: Sequence[int], count: int) -> tuple[list[list[int]], int]:
    """So many rows, and the longest's length: each sequence joins the row that is the shortest (Graham 1969)."""
    rows: list[list[int]] = [[] for _ in range(count)]
    shortest = [(0, row) for row in range(count)]
    for number in order:
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
