"""Rows that join, grow and leave keep their keys and values, at the right end of the views."""

from __future__ import annotations

import random

import pytest
import torch
from transformers.cache_utils import DynamicCache

from eagleray.serving import slots
from eagleray.serving.slots import SlotCache

CPU = torch.device("cpu")


class Mirror:
    """The cache beside plain lists of what each row should hold: every token has keys of its own."""

    def __init__(self, *, max_rows: int) -> None:
        self.cache, self.rows, self._next = SlotCache(max_rows=max_rows), [], 1.0

    def join(self, *lengths: int) -> None:
        prompts = [[self._token() for _ in range(length)] for length in lengths]
        width = max(lengths)
        padded = torch.tensor([[777.0] * (width - len(prompt)) + prompt for prompt in prompts])
        prefilled = DynamicCache()
        for layer in range(2):
            prefilled.update(_states(padded, layer), -_states(padded, layer), layer)
        self.cache.join(prefilled, lengths)
        self.rows += prompts

    def step(self) -> None:
        tokens = [self._token() for _ in self.rows]
        for row, token in zip(self.rows, tokens, strict=True):
            row.append(token)
        mask = self.cache.attention_mask(CPU)
        for layer in range(2):
            states = _states(torch.tensor(tokens)[:, None], layer)
            keys, values = self.cache.update(states, -states, layer)
            assert torch.equal(values, -keys)
            seen = [keys[row, 0, mask[row].bool(), 0].tolist() for row in range(len(self.rows))]
            assert seen == [[token + layer * 0.5 for token in row] for row in self.rows]
            assert keys.shape[2] == max(map(len, self.rows)) == mask.shape[1]
        self.cache.advance()

    def leave(self, row: int) -> None:
        self.cache.leave(row)
        last = self.rows.pop()
        if row < len(self.rows):
            self.rows[row] = last

    def _token(self) -> float:
        self._next += 1
        return self._next


def _states(tokens: torch.Tensor, layer: int) -> torch.Tensor:
    """(rows, columns) to (rows, 2 heads, columns, 4)."""
    return (tokens + layer * 0.5)[:, None, :, None].expand(-1, 2, -1, 4)


def test_rows_of_several_lengths_end_in_one_column() -> None:
    mirror = Mirror(max_rows=4)
    mirror.join(3, 5)
    mirror.step()
    assert mirror.cache.attention_mask(CPU).tolist() == [[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("seed", range(6))
def test_random_comings_and_goings(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_BLOCK", 8)  # so that a few steps cross many borders
    choice = random.Random(seed)
    mirror = Mirror(max_rows=6)
    for _ in range(150):
        free = 6 - len(mirror.rows)
        if free and choice.random() < 0.25:
            mirror.join(*(choice.randint(1, 30) for _ in range(choice.randint(1, free))))
        if mirror.rows and choice.random() < 0.2:
            mirror.leave(choice.randrange(len(mirror.rows)))
        if mirror.rows:
            mirror.step()


def test_memory_grows_with_the_rows_and_goes_with_the_last() -> None:
    mirror = Mirror(max_rows=16)
    mirror.join(10)
    one = mirror.cache.num_bytes
    mirror.join(10)
    two = mirror.cache.num_bytes
    mirror.leave(0)
    mirror.leave(0)
    assert (one, two, mirror.cache.num_bytes) == (2 * 2 * 2 * 256 * 4 * 4, 2 * one, 0)


def test_a_short_row_that_stays_after_a_long_one_moves_instead_of_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_BLOCK", 8)
    mirror = Mirror(max_rows=2)
    mirror.join(30, 2)
    mirror.leave(0)
    before = mirror.cache.num_bytes
    for _ in range(12):
        mirror.step()
    assert mirror.cache.num_bytes == before
