"""Classification metrics equal scikit-learn's on the same predictions, however the rows are spread over ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from eagleray.metrics import calibration
from eagleray.metrics.classification import (
    MultiLabelMetrics,
    SingleLabelMetrics,
)
from eagleray.spec import reported

LABELS = ("a", "b", "c", "d")
AVERAGES = ("macro", "micro", "weighted")
SCORES = {
    "precision": reference.precision_score,
    "recall": reference.recall_score,
    "f1": reference.f1_score,
}


def merged(new: Callable[[], Any], logits: torch.Tensor, labels: torch.Tensor, *, num_ranks: int) -> dict[str, Any]:
    """Each rank sees its share in batches of 7 with a row of filler at the end; the first adds the others' sums."""
    ranks = [new() for _ in range(num_ranks)]
    for rank, metrics in enumerate(ranks):
        own = range(rank, len(logits), num_ranks)
        for start in range(0, len(own), 7):
            rows = [*own[start : start + 7], 0]
            weights = torch.tensor([1.0] * (len(rows) - 1) + [0.0])
            batch = {"labels": labels[rows], "weights": weights}
            metrics.update(2.0 * (len(rows) - 1), logits[rows], batch)
    for other in ranks[1:]:
        ranks[0].state.add_(other.state)
    result: dict[str, Any] = ranks[0].compute()
    return result


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
@pytest.mark.parametrize(
    ("actual_classes", "predicted_classes"),
    [
        pytest.param((0, 1, 2, 3), (0, 1, 2, 3), id="all classes"),
        pytest.param((0, 1, 3), (0, 1, 2, 3), id="one never true"),
        pytest.param((0, 1, 2, 3), (0, 1), id="two never predicted"),
        pytest.param((0, 1), (0, 1), id="two neither true nor predicted"),
        pytest.param((1,), (1,), id="one class, always right"),
        pytest.param((1,), (2,), id="one class, never right"),
        pytest.param((0, 1), (2,), id="constant prediction"),
    ],
)
def test_single_label_equals_scikit_learn(
    num_ranks: int, actual_classes: tuple[int, ...], predicted_classes: tuple[int, ...]
) -> None:
    random = np.random.default_rng(3)
    actual = random.choice(actual_classes, size=100)
    predicted = np.where(random.random(100) < 0.5, actual, random.choice(predicted_classes, size=100))
    predicted = np.where(np.isin(predicted, predicted_classes), predicted, predicted_classes[0])
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), len(LABELS)) * 3.0

    found = merged(lambda: SingleLabelMetrics(LABELS), logits, torch.tensor(actual), num_ranks=num_ranks)

    assert set(reported.SINGLE_LABEL) == found.keys() - {"confusion_matrix", "per_class", "calibration"}
    assert found["loss"] == pytest.approx(2.0)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(actual, predicted))
    for name, score in SCORES.items():
        for average in AVERAGES:
            expected = score(actual, predicted, average=average, zero_division=0)
            assert found[f"{name}_{average}"] == pytest.approx(expected, abs=1e-12), f"{name}_{average}"
    if len(set(actual) | set(predicted)) > 1:  # scikit-learn warns of one class alone
        assert found["matthews"] == pytest.approx(reference.matthews_corrcoef(actual, predicted), abs=1e-12)
    assert found["confusion_matrix"] == reference.confusion_matrix(actual, predicted, labels=range(4)).tolist()
    each = reference.precision_recall_fscore_support(actual, predicted, labels=range(4), zero_division=0)
    for index, label in enumerate(LABELS):
        assert tuple(found["per_class"][label].values()) == pytest.approx(tuple(column[index] for column in each))


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_multi_label_equals_scikit_learn(num_ranks: int, density: float) -> None:
    random = np.random.default_rng(5)
    actual = (random.random((80, 4)) < density).astype(int)
    actual[:, 3] = 0  # a label that no row has
    predicted = np.where(random.random((80, 4)) < 0.7, actual, 1 - actual)
    predicted[:, 2] = 0  # and one that is never predicted
    logits = torch.tensor(predicted * 2.0 - 1.0)

    found = merged(
        lambda: MultiLabelMetrics(LABELS), logits, torch.tensor(actual, dtype=torch.float32), num_ranks=num_ranks
    )

    assert set(reported.MULTI_LABEL) == found.keys() - {"per_class", "calibration"}
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(actual, predicted))
    for name, score in SCORES.items():
        for average in AVERAGES:
            expected = score(actual, predicted, average=average, zero_division=0)
            assert found[f"{name}_{average}"] == pytest.approx(expected, abs=1e-12), f"{name}_{average}"
    each = reference.precision_recall_fscore_support(actual, predicted, zero_division=0)
    for index, label in enumerate(LABELS):
        assert tuple(found["per_class"][label].values()) == pytest.approx(tuple(column[index] for column in each))


@pytest.mark.parametrize("new", [lambda: SingleLabelMetrics(LABELS), lambda: MultiLabelMetrics(LABELS)])
def test_nothing_seen_is_zero_everywhere(new: Callable[[], Any]) -> None:
    numbers = [value for value in new().compute().values() if isinstance(value, float)]

    assert set(numbers) == {0.0}


def test_state_does_not_grow() -> None:
    metrics = SingleLabelMetrics(LABELS)
    for _ in range(50):
        metrics.update(
            1.0, torch.randn(64, 4), {"labels": torch.zeros(64, dtype=torch.int64), "weights": torch.ones(64)}
        )

    assert metrics.state.shape == (2 + 16 + calibration.SIZE,)
    assert metrics.compute()["per_class"]["a"]["support"] == 3200
