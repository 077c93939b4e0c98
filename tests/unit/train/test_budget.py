"""The memory of a worker, against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eagleray.train import budget
from eagleray.train.budget import Counts, Layout, Pass

ALL_LEARN = Counts(parameters=1000, learning=1000, weight_bytes=4, num_moments=2)
ADAPTER = Counts(parameters=1000, learning=10, weight_bytes=4, num_moments=2)
PROCESS = budget.PROCESS_BYTES + budget.FIRST_STEP_BYTES
NO_PASS = Pass(activations=0, with_gradients=0)


def test_zero_2_by_hand() -> None:
    found = budget.of_worker(ALL_LEARN, Layout(stage=2, world_size=2), NO_PASS, accumulates=False)

    assert (found.weights, found.gradients, found.optimizer) == (4000, 2000, 500 * 4 * 3)
    assert found.buffers == 4000 + 4000  # a bucket and its flat copy
    assert found.checkpoint == 500 * 4 * 3 + 4000
    kept = 3 * (2000 + 4000) // 4  # by the allocator, of gradients and bucket
    assert found.peak == PROCESS + 4000 + 6000 + (2000 + 4000 + kept + 4000) + 10_000


def test_zero_0_keeps_moments_of_every_weight_and_no_second_copy_of_it() -> None:
    found = budget.of_worker(ALL_LEARN, Layout(stage=0, world_size=2), Pass(500, 4500), accumulates=False)

    assert (found.weights, found.optimizer, found.activations) == (4000, 8000, 500 + 175)


def test_zero_3_shards_the_weights() -> None:
    found = budget.of_worker(ALL_LEARN, Layout(stage=3, world_size=4), NO_PASS, accumulates=False)

    assert (found.weights, found.optimizer) == (1000, 250 * 4 * 2)


def test_half_precision_keeps_single_precision_weights_for_the_optimizer() -> None:
    half = replace(ALL_LEARN, weight_bytes=2)

    found = budget.of_worker(half, Layout(stage=3, world_size=4), NO_PASS, accumulates=False)

    assert (found.weights, found.optimizer) == (500, 250 * 4 * 3)


def test_frozen_weights_have_neither_gradients_nor_moments() -> None:
    found = budget.of_worker(ADAPTER, Layout(stage=2, world_size=2), NO_PASS, accumulates=False)

    assert (found.weights, found.gradients, found.optimizer) == (4000, 20, 60)


def test_activations_wait_beside_gradients_that_accumulate() -> None:
    one_pass = Pass(activations=100_000, with_gradients=101_000)
    layout = Layout(stage=2, world_size=2)

    at_once = budget.of_worker(ALL_LEARN, layout, one_pass, accumulates=False)
    accumulated = budget.of_worker(ALL_LEARN, layout, one_pass, accumulates=True)

    assert accumulated.peak - at_once.peak == 2000 - 1000


def test_only_a_cpu_keeps_what_batches_of_other_shapes_left() -> None:
    one_pass = Pass(activations=1000, with_gradients=1000)

    on_cpu = budget.of_worker(ALL_LEARN, Layout(stage=0, world_size=1), one_pass, accumulates=False)
    on_gpu = budget.of_worker(ALL_LEARN, Layout(stage=0, world_size=1, on_cpu=False), one_pass, accumulates=False)

    assert (on_cpu.activations, on_gpu.activations) == (1350, 1000)


def test_offload_moves_the_optimizer_from_the_gpu_to_the_host() -> None:
    on_gpu = Layout(stage=2, world_size=2, on_cpu=False)

    there = budget.of_worker(ALL_LEARN, on_gpu, NO_PASS, accumulates=False)
    away = budget.of_worker(ALL_LEARN, replace(on_gpu, offload_optimizer=True), NO_PASS, accumulates=False)

    assert (there.process, there.optimizer, away.optimizer) == (0, 6000, 0)
    assert away.host - there.host == 6000
    assert there.peak - away.peak == 6000


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        pytest.param(ALL_LEARN, 1000 * 4 * 3 + 4000 + 7, id="all"),
        pytest.param(ADAPTER, 10 * 4 * 3 + 40 + 7, id="adapter"),
    ],
)
def test_checkpoint(counts: Counts, size: int) -> None:
    assert budget.checkpoint_bytes(counts, other_files=7) == size
