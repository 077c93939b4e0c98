"""Calibration against sums written out by hand, however the answers are spread over ranks."""

from __future__ import annotations

import pytest
import torch

from eagleray.metrics import calibration


def _computed(probabilities: list[float], right: list[bool], weights: list[float], *, num_ranks: int = 1) -> dict:
    ranks = [torch.zeros(calibration.SIZE, dtype=torch.float64) for _ in range(num_ranks)]
    for rank, state in enumerate(ranks):
        own = slice(rank, None, num_ranks)
        calibration.add(
            state,
            torch.tensor(probabilities[own], dtype=torch.float32),
            torch.tensor(right[own], dtype=torch.bool),
            torch.tensor(weights[own]),
        )
    return calibration.compute(sum(ranks[1:], ranks[0]))


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
@pytest.mark.parametrize(
    ("probabilities", "right", "weights", "error"),
    [
        pytest.param([1.0, 1.0], [True, True], [1.0, 1.0], 0.0, id="sure and right"),
        pytest.param([1.0, 1.0], [False, False], [1.0, 1.0], 1.0, id="sure and wrong"),
        pytest.param([0.75] * 4, [True, True, True, False], [1.0] * 4, 0.0, id="as sure as right"),
        pytest.param([0.75] * 4, [True, False, False, False], [1.0] * 4, 0.5, id="too sure"),
        pytest.param([0.95, 0.55], [True, False], [1.0, 1.0], (0.05 + 0.55) / 2, id="two bins"),
        pytest.param([0.75, 0.75], [True, False], [1.0, 0.0], 0.25, id="filler does not count"),
        pytest.param([], [], [], 0.0, id="no answers"),
    ],
)
def test_error(
    probabilities: list[float], right: list[bool], weights: list[float], error: float, num_ranks: int
) -> None:
    computed = _computed(probabilities, right, weights, num_ranks=num_ranks)

    assert computed["calibration_error"] == pytest.approx(error, abs=1e-6)
    assert sum(computed["calibration"]["counts"]) == sum(weights)


def test_bins() -> None:
    bins = _computed([0.0, 0.05, 0.5, 0.99, 1.0, float("nan")], [False, True, True, True, False, False], [1.0] * 6)

    assert bins["calibration"]["counts"] == [3] + [0] * 6 + [1] + [0] * 6 + [2]
    assert bins["calibration"]["right"][0] == pytest.approx(1 / 3)
    assert bins["calibration"]["probabilities"][-1] == pytest.approx(0.995)
