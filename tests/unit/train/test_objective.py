"""What training minimises: plain, weighted by the data, weighted by the document."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from eagleray.errors import UserError
from eagleray.spec.train import LossSpec
from eagleray.tasks.emphasis import Emphasis
from eagleray.tasks.text_classification import TextClassification
from eagleray.train import objective

TASK = TextClassification("single-label", labels=("ham", "spam"))
COUNTS = {"ham": 30, "spam": 10}
BATCH = {"input_ids": torch.zeros(2, 1), "labels": torch.tensor([0, 1]), "weights": torch.ones(2)}


class Output:
    """What a model answers."""

    logits = torch.tensor([[1.0, 0.0], [0.5, 0.25]])


def spec(**options: Any) -> LossSpec:
    return TypeAdapter[LossSpec](LossSpec).validate_python({"type": "cross-entropy", **options})


@pytest.mark.parametrize(
    ("options", "emphasis"),
    [
        ({}, None),
        ({"class_weights": "balanced"}, Emphasis(weights=(40 / 60, 2.0))),
        ({"weights": {"spam": 3.0}}, Emphasis(weights=(1.0, 3.0))),
        ({"type": "focal"}, Emphasis(gamma=2.0)),
        ({"type": "focal", "gamma": 1.0, "class_weights": "balanced"}, Emphasis(gamma=1.0, weights=(40 / 60, 2.0))),
    ],
)
def test_losses(options: dict[str, Any], emphasis: Emphasis | None) -> None:
    loss = objective.of(TASK, spec(**options), label_smoothing=0.1, label_counts=COUNTS)
    found, _ = loss(lambda **inputs: Output(), BATCH)
    wanted, _ = TASK.loss(lambda **inputs: Output(), BATCH, label_smoothing=0.1, emphasis=emphasis)
    assert found.item() == pytest.approx(wanted.item())


def test_a_weight_of_no_label() -> None:
    with pytest.raises(UserError, match=r"spec.train.loss.weights: 'eggs' is no label of the data: 'ham', 'spam' are"):
        objective.of(TASK, spec(weights={"eggs": 2.0}), label_smoothing=0.0, label_counts=COUNTS)
