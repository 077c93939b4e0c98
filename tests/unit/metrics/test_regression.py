"""Regression metrics equal scikit-learn's and SciPy's, however the rows are spread over ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as reference

from eagleray.metrics.regression import RegressionMetrics
from eagleray.spec import reported


def computed(actual: np.ndarray, predicted: np.ndarray, *, num_ranks: int = 1) -> dict[str, float]:
    ranks = [RegressionMetrics() for _ in range(num_ranks)]
    for rank, metrics in enumerate(ranks):
        rows = [*range(rank, len(actual), num_ranks), 0]
        weights = torch.tensor([1.0] * (len(rows) - 1) + [0.0])
        batch = {"labels": torch.tensor(actual[rows]), "weights": weights}
        metrics.update(float(len(rows) - 1), torch.tensor(predicted[rows]).unsqueeze(1), batch)
    for other in ranks[1:]:
        ranks[0].state.add_(other.state)
    return ranks[0].compute()


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
@pytest.mark.parametrize("mean", [0.0, 1e4], ids=["around zero", "far from zero"])
def test_equals_the_references(num_ranks: int, mean: float) -> None:
    random = np.random.default_rng(7)
    actual = mean + random.normal(size=200)
    predicted = actual + random.normal(scale=0.5, size=200)

    found = computed(actual, predicted, num_ranks=num_ranks)

    assert set(found) == set(reported.REGRESSION)
    assert found["mse"] == pytest.approx(reference.mean_squared_error(actual, predicted))
    assert found["rmse"] == pytest.approx(math.sqrt(reference.mean_squared_error(actual, predicted)))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(actual, predicted))
    assert found["r2"] == pytest.approx(reference.r2_score(actual, predicted), abs=1e-6)
    assert found["pearson"] == pytest.approx(stats.pearsonr(actual, predicted).statistic, abs=1e-6)


@pytest.mark.parametrize(
    ("actual", "predicted", "r2", "pearson"),
    [
        pytest.param([2.0, 2.0], [2.0, 2.0], 1.0, 0.0, id="constant and right"),
        pytest.param([2.0, 2.0], [1.0, 3.0], 0.0, 0.0, id="constant and wrong"),
        pytest.param([1.0, 3.0], [2.0, 2.0], 0.0, 0.0, id="constant prediction"),
    ],
)
def test_degenerate(actual: list[float], predicted: list[float], r2: float, pearson: float) -> None:
    found = computed(np.array(actual), np.array(predicted))

    assert (found["r2"], found["pearson"]) == (r2, pearson)


def test_nothing_seen_is_finite() -> None:
    assert all(math.isfinite(value) for value in RegressionMetrics().compute().values())
