"""How do sequences of unlike length become rows of one length: padded singly, or several packed into a row?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return rows of sequence numbers, the lengths of each row adding up to `capacity` at most.

    First-fit decreasing: at most 11/9 of the fewest rows possible, and one (Johnson 1973).

    Raises:
        ValueError: a sequence is longer than `capacity`.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        length = int(lengths[number])
        if length > capacity:
            raise ValueError(f"a sequence of {length} tokens does not fit into a row of {capacity}")
        row = next((r for r, free in enumerate(room) if free >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(capacity)
        rows[row].append(number)
        room[row] -= length
    return rows


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
