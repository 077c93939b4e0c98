"""Which weights decay, and that each optimizer of the spec can be built."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from eagleray.spec.train import OptimizerSpec
from eagleray.train.optimizers import build, parameter_groups

OPTIMIZER: TypeAdapter[OptimizerSpec] = TypeAdapter(OptimizerSpec)


def _model() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].weight.requires_grad = False
    return model


def test_norms_biases_and_frozen_weights_do_not_decay() -> None:
    model = _model()

    decaying, kept = parameter_groups(model, weight_decay=0.1)

    assert [p is model[0].weight for p in decaying["params"]] == [True]
    assert len(kept["params"]) == 4
    assert (decaying["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "adamw", "beta1": 0.8}, torch.optim.AdamW),
        ({"type": "adam"}, torch.optim.Adam),
        ({"type": "rmsprop", "momentum": 0.5}, torch.optim.RMSprop),
        ({"type": "sgd", "momentum": 0.9, "nesterov": True}, torch.optim.SGD),
    ],
    ids=["adamw", "adam", "rmsprop", "sgd"],
)
def test_build(spec: dict[str, object], expected: type[torch.optim.Optimizer]) -> None:
    model = _model()
    optimizer = build(model, OPTIMIZER.validate_python(spec), learning_rate=0.01, weight_decay=0.1, fused=True)
    before = model[0].weight.detach().clone()

    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()

    assert type(optimizer) is expected
    assert not torch.equal(model[0].weight, before)
