"""The average of the weights over an optimizer's steps, and weights exchanged for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from eagleray.spec.averaging import AveragingSpec
from eagleray.train import averaging, fragments, optimizers
from tests.unit.train.test_optimizers import OPTIMIZER

AVERAGING: TypeAdapter[AveragingSpec] = TypeAdapter(AveragingSpec)


def _trained(spec: AveragingSpec, *, num_steps: int) -> tuple[nn.Module, Any, list[float]]:
    """A single weight that falls by 1 in each step from 0; returns what it was after each."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    sgd = OPTIMIZER.validate_python({"type": "sgd"})
    optimizer = optimizers.build(model, sgd, learning_rate=1.0, weight_decay=0.0, fused=False)
    averaging.attach(optimizer, spec, total_steps=num_steps)
    seen = []
    for step in range(num_steps):
        optimizers.set_rate(optimizer, 1.0, step=step)
        model.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
        seen.append(model.weight.item())
    return model, optimizer, seen


@pytest.mark.parametrize(
    ("options", "counted"),
    [
        ({}, [7, 8]),
        ({"start": 0.5}, [5, 6, 7, 8]),
        ({"start": 0.5, "every_steps": 2}, [5, 7]),
        ({"start": 0.0}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
    ids=["last quarter", "last half", "every other", "all"],
)
def test_mean_of_the_last_steps(options: dict[str, object], counted: list[int]) -> None:
    model, optimizer, _ = _trained(AVERAGING.validate_python({"type": "swa", **options}), num_steps=8)

    average = optimizer.state[model.weight][averaging.AVERAGE].item()

    assert average == pytest.approx(-sum(counted) / len(counted))


def test_exponential_average_is_short_at_first_and_long_later() -> None:
    spec = AVERAGING.validate_python({"type": "ema", "decay": 0.5})
    model, optimizer, seen = _trained(spec, num_steps=12)

    expected = 0.0
    for number, weight in enumerate(seen):
        decay = min(0.5, number / (9 + number))
        expected = decay * expected + (1 - decay) * weight
    assert optimizer.state[model.weight][averaging.AVERAGE].item() == pytest.approx(expected)
    assert averaging.share(spec, 0) == 1.0


def test_weights_exchanged_twice_are_the_same_bits() -> None:
    model, optimizer, seen = _trained(AVERAGING.validate_python({"type": "swa", "start": 0.0}), num_steps=3)

    def held() -> list[fragments.Fragment]:
        return list(fragments.replicated(model, optimizer, rank=0, world_size=1, is_for_writing=False))

    averaging.swap(held())
    assert model.weight.item() == pytest.approx(-2.0)
    averaging.swap(held())
    assert model.weight.item() == seen[-1]
    assert {"average", "num_averaged"} <= held()[0].state.keys()
