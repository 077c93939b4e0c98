"""Packing and padding of sequences."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleray.data.packing import FULL, pack, pad


@pytest.mark.parametrize(
    ("lengths", "rows"),
    [
        ([], []),
        ([10], [[0]]),
        ([3, 7], [[1, 0]]),
        ([6, 6, 4, 4], [[0, 2], [1, 3]]),
        ([5, 5, 5, 5, 5, 5], [[0], [1], [2], [3], [4], [5]]),
        ([5, 6, 5], [[1], [0], [2]]),
        ([9, 1, 1, 1, 1, 1, 1, 1, 1], [[0], [1, 2, 3, 4, 5, 6, 7, 8]]),
    ],
    ids=str,
)
def test_rows_are_level_and_short(lengths: list[int], rows: list[list[int]]) -> None:
    assert pack(lengths, 10) == rows


@given(st.lists(st.integers(0, 64), max_size=60))
def test_every_sequence_is_in_one_row_and_no_row_overflows(lengths: list[int]) -> None:
    rows = pack(lengths, 64)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= 64 for row in rows)
    longest_row = max((sum(lengths[number] for number in row) for row in rows), default=0)
    assert len(rows) * longest_row <= max(1, 2 * -(-sum(lengths) // 64)) * 64


@given(st.lists(st.integers(1, 64), min_size=1, max_size=60))
def test_no_more_places_than_rows_filled_one_after_the_other(lengths: list[int]) -> None:
    filled: list[int] = []
    for length in sorted(lengths, reverse=True):
        row = next((row for row, used in enumerate(filled) if used + length <= 64), len(filled))
        filled[row:] = [sum(filled[row : row + 1]) + length, *filled[row + 1 :]]
    rows = pack(lengths, 64)
    longest_row = max(sum(lengths[number] for number in row) for row in rows)
    assert FULL * len(rows) * longest_row <= len(filled) * max(filled)


@pytest.mark.parametrize(
    ("lengths", "capacity", "num_rows"),
    [([10] + [4] * 12, 10, 7), ([2048] + [100] * 511, 2048, 27), ([0, 0], 10, 1)],
    ids=["full-row", "full-row-of-many", "nothing"],
)
def test_a_row_that_is_full_leaves_the_others_packed(lengths: list[int], capacity: int, num_rows: int) -> None:
    assert len(pack(lengths, capacity)) == num_rows


@pytest.mark.parametrize("longest", [50, 400, 2000])
def test_many_sequences_leave_little_empty(longest: int) -> None:
    lots = random.Random(longest)
    lengths = [lots.randint(20, longest) for _ in range(512)]
    rows = pack(lengths, 2048)
    assert sum(lengths) / (len(rows) * max(sum(lengths[number] for number in row) for row in rows)) > 0.97


def test_sentences_of_mixed_length_leave_little_empty() -> None:
    lots = random.Random(0)
    lengths = [lots.randint(4, 50) for _ in range(32)]
    rows = pack(lengths, 128)
    longest_row = max(sum(lengths[number] for number in row) for row in rows)
    assert sum(lengths) / (len(rows) * longest_row) > 0.97


def test_a_sequence_longer_than_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="11 tokens does not fit into a row of 10"):
        pack([3, 11], 10)


@pytest.mark.parametrize(
    ("sequences", "multiple_of", "padded"),
    [
        ([[1, 2], [3]], 1, [[1, 2], [3, 9]]),
        ([[1, 2], [3]], 4, [[1, 2, 9, 9], [3, 9, 9, 9]]),
        ([[], []], 1, [[], []]),
    ],
    ids=str,
)
def test_pad_fills_on_the_right(sequences: list[list[int]], multiple_of: int, padded: list[list[int]]) -> None:
    rows = pad(sequences, value=9, multiple_of=multiple_of)
    assert rows.tolist() == padded
    assert rows.dtype == np.int64
