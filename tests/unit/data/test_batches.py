"""Micro batches: each sample once over all workers, as many for each worker, fillers only where they must be."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.data.batches import accumulation, eval_batches, micro_batches

SIZES = [1, 2, 3, 5, 8, 15, 16, 31, 32]
LENGTHS = np.random.default_rng(0).integers(3, 200, 100).astype(np.int32)


@pytest.mark.parametrize(
    ("global_batch_size", "world_size", "micro_batch_size", "expected"),
    [(32, 1, 32, 1), (32, 2, 16, 1), (32, 2, 8, 2), (32, 3, 8, 2), (33, 2, 8, 3), (1, 1, 8, 1)],
)
def test_accumulation_is_what_covers_the_global_batch(
    global_batch_size: int, world_size: int, micro_batch_size: int, expected: int
) -> None:
    assert accumulation(global_batch_size, world_size=world_size, micro_batch_size=micro_batch_size) == expected


@pytest.mark.parametrize("balance", ["length", "tokens"])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_each_sample_counts_once_over_all_workers(size: int, world_size: int, steps: int, balance: str) -> None:
    indices = np.random.default_rng(size).permutation(100)[:size]
    ranks = [
        micro_batches(indices, LENGTHS, world_size=world_size, rank=rank, accumulation=steps, balance=balance)  # type: ignore[arg-type]
        for rank in range(world_size)
    ]
    batches = [batch for rank in ranks for batch in rank]
    counted = np.concatenate([rows[weights == 1] for rows, weights in batches])
    fillers = np.concatenate([rows[weights == 0] for rows, weights in batches])
    assert sorted(counted.tolist()) == sorted(indices.tolist())
    assert {len(rank) for rank in ranks} == {steps}
    assert len(fillers) == max(0, world_size * steps - size)
    assert set(fillers.tolist()) <= set(indices.tolist())
    assert max(len(rows) for rows, _ in batches) == -(-size // (world_size * steps))
    assert all(len(rows) == len(weights) and weights.dtype == np.float32 for rows, weights in batches)


def test_the_ranks_of_a_micro_step_have_like_lengths() -> None:
    indices = np.arange(64)
    ranks = [
        micro_batches(indices, LENGTHS, world_size=2, rank=rank, accumulation=4, balance="length") for rank in (0, 1)
    ]
    for (first, _), (second, _) in zip(*ranks, strict=True):
        assert abs(int(LENGTHS[first].max()) - int(LENGTHS[second].max())) <= 15


def test_balancing_tokens_gives_every_micro_batch_about_as_many() -> None:
    indices = np.arange(64)
    tokens = [
        int(LENGTHS[rows].sum())
        for rank in range(2)
        for rows, _ in micro_batches(indices, LENGTHS, world_size=2, rank=rank, accumulation=2, balance="tokens")
    ]
    assert max(tokens) - min(tokens) < 0.02 * sum(tokens)


def test_a_global_batch_without_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="without samples"):
        micro_batches(np.empty(0, np.int64), LENGTHS, world_size=1, rank=0, accumulation=1, balance="length")


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [0, *SIZES, 100])
def test_an_evaluation_sees_each_sample_once_longest_first(size: int, world_size: int) -> None:
    lengths = LENGTHS[:size]
    ranks = [
        list(eval_batches(lengths, world_size=world_size, rank=rank, micro_batch_size=4)) for rank in range(world_size)
    ]
    assert len({len(rank) for rank in ranks}) == 1
    assert all(
        len(rank) == len(eval_batches(lengths, world_size=world_size, rank=0, micro_batch_size=4)) for rank in ranks
    )
    counted = [row for rank in ranks for rows, weights in rank for row in rows[weights == 1].tolist()]
    assert sorted(counted) == list(range(size))
    for rank in ranks:
        longest = [int(lengths[rows].max()) for rows, _ in rank]
        assert longest == sorted(longest, reverse=True)
        assert all(len(rows) <= 4 for rows, _ in rank)


def test_an_evaluation_fills_only_in_its_last_micro_batch() -> None:
    ranks = [list(eval_batches(LENGTHS[:9], world_size=4, rank=rank, micro_batch_size=2)) for rank in range(4)]
    assert [[float(weights.min()) for _, weights in rank] for rank in ranks] == [[1, 1], [1, 0], [1, 0], [1, 0]]
