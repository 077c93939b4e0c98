"""How many steps successive halving is expected to take."""

from __future__ import annotations

import itertools
from statistics import mean

import pytest

from eagleray.tune import rungs


def _steps(order: tuple[int, ...], *, found: tuple[int, ...], last_step: int, reduction_factor: int) -> int:
    """Trials of these qualities, one after another: each goes on at a rung if it is among the best of those so far."""
    seen: dict[int, list[int]] = {rung: [] for rung in found}
    steps = 0
    for quality in order:
        stopped_at = last_step
        for rung in found:
            seen[rung].append(quality)
            kept = -(-len(seen[rung]) // reduction_factor)
            if quality not in sorted(seen[rung], reverse=True)[:kept]:
                stopped_at = rung
                break
        steps += stopped_at
    return steps


@pytest.mark.parametrize(
    ("num_trials", "reduction_factor"),
    [pytest.param(7, 3, id="by-three"), pytest.param(6, 2, id="by-two"), pytest.param(2, 3, id="two-trials")],
)
def test_expectation_is_the_mean_of_all_orders(num_trials: int, reduction_factor: int) -> None:
    found = rungs.rungs(grace_steps=10, max_steps=80, reduction_factor=reduction_factor)

    expected = rungs.expected_steps(num_trials, rungs=found, last_step=90, reduction_factor=reduction_factor)

    orders = itertools.permutations(range(num_trials))
    every = mean(_steps(order, found=found, last_step=90, reduction_factor=reduction_factor) for order in orders)
    assert expected == pytest.approx(every, rel=0.02)


def test_one_trial_is_never_stopped() -> None:
    assert rungs.expected_steps(1, rungs=(10, 30, 90), last_step=90, reduction_factor=3) == 90


def test_the_last_step_is_no_rung() -> None:
    assert rungs.expected_steps(9, rungs=(90,), last_step=90, reduction_factor=3) == 9 * 90


def test_rungs_grow_by_the_factor() -> None:
    assert rungs.rungs(grace_steps=10, max_steps=100, reduction_factor=3) == (10, 30, 90)
