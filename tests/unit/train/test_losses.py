"""What is minimised besides the task's loss, and which weights a penalty reaches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from eagleray.errors import UserError
from eagleray.spec.train import TrainSpec
from eagleray.tasks.emphasis import Emphasis
from eagleray.tasks.text_classification import TextClassification
from eagleray.train import losses, optimizers, penalties
from tests.unit.train.test_optimizers import OPTIMIZER

ONE = TextClassification("single-label", labels=("a", "b"))
SEVERAL = TextClassification("multi-label", labels=("a", "b"))


def _batch(task: TextClassification) -> dict[str, torch.Tensor]:
    labels = torch.tensor([0, 1, 1]) if task is ONE else torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    return {"input_ids": torch.ones(3, 2, dtype=torch.int64), "labels": labels, "weights": torch.tensor([1.0, 1.0, 0])}


def _same_twice(**inputs: torch.Tensor) -> Any:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 1.0]])
    return SimpleNamespace(logits=logits.repeat(len(inputs["input_ids"]) // 3, 1))


def _other_each_time(**inputs: torch.Tensor) -> Any:
    logits = _same_twice(**inputs).logits
    logits[len(logits) // 2 :] += torch.tensor([1.0, 0.0])
    return SimpleNamespace(logits=logits)


@pytest.mark.parametrize("task", [ONE, SEVERAL], ids=["one label", "several labels"])
def test_two_passes_that_agree_cost_nothing(task: TextClassification) -> None:
    expected, _ = task.loss(_same_twice, _batch(task))

    found, logits = losses.build(task, TrainSpec(r_drop=5.0), label_counts={})(_same_twice, _batch(task))

    assert found.item() == pytest.approx(expected.item())
    assert logits.shape == (3, 2)


@pytest.mark.parametrize("task", [ONE, SEVERAL], ids=["one label", "several labels"])
def test_two_passes_that_differ_cost_their_divergence(task: TextClassification) -> None:
    def distribution(logits: torch.Tensor) -> torch.distributions.Distribution:
        kind = torch.distributions.Categorical if task is ONE else torch.distributions.Bernoulli
        return kind(logits=logits)

    batch = _batch(task)
    weak, _ = losses.build(task, TrainSpec(r_drop=1.0), label_counts={})(_other_each_time, batch)
    strong, _ = losses.build(task, TrainSpec(r_drop=3.0), label_counts={})(_other_each_time, batch)

    doubled = {name: torch.cat([tensor, tensor]) for name, tensor in batch.items()}
    one, other = map(distribution, _other_each_time(**doubled).logits.chunk(2))
    kl = torch.distributions.kl_divergence
    both = (kl(one, other) + kl(other, one)) / 2
    rows = both if task is ONE else both.mean(dim=-1)
    assert (strong - weak).item() == pytest.approx(2 * (rows * batch["weights"]).sum().item(), rel=1e-5)


def test_penalties_reach_what_decays_alone() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, -1.0]]))
        model.bias.fill_(1.0)
    sgd = OPTIMIZER.validate_python({"type": "sgd"})
    optimizer = optimizers.build(model, sgd, learning_rate=1.0, weight_decay=0.0, fused=False)
    penalties.attach(optimizer, l1=0.25, l2=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    optimizer.step()

    assert model.weight.tolist() == [[2.0 - 0.25 - 1.0, -1.0 + 0.25 + 0.5]]
    assert model.bias.item() == 1.0


TASK = TextClassification("single-label", labels=("ham", "spam"))
COUNTS = {"ham": 30, "spam": 10}
BATCH = {"input_ids": torch.zeros(2, 1), "labels": torch.tensor([0, 1]), "weights": torch.ones(2)}


class Output:
    """What a model answers."""

    logits = torch.tensor([[1.0, 0.0], [0.5, 0.25]])


def spec(**options: Any) -> TrainSpec:
    return TrainSpec.model_validate({"loss": {"type": "cross-entropy", **options}, "label_smoothing": 0.1})


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
    loss = losses.build(TASK, spec(**options), label_counts=COUNTS)
    found, _ = loss(lambda **inputs: Output(), BATCH)
    wanted, _ = TASK.loss(lambda **inputs: Output(), BATCH, label_smoothing=0.1, emphasis=emphasis)
    assert found.item() == pytest.approx(wanted.item())


def test_a_weight_of_no_label() -> None:
    with pytest.raises(UserError, match=r"spec.train.loss.weights: 'eggs' is no label of the data: 'ham', 'spam' are"):
        losses.build(TASK, spec(weights={"eggs": 2.0}), label_counts=COUNTS)
