"""Which weights decay, and that each optimizer of the spec can be built."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from eagleray.spec.optimizer import OptimizerSpec
from eagleray.train.optimizers import ByLayer, build, parameter_groups, set_rate

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


class _Layered(nn.Module):
    """Embeddings, three blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(3, 2)
        self.layer = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))
        self.classifier = nn.Linear(2, 2)


def _rates(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, float]:
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: rates[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("by_layer", "step", "expected"),
    [
        (ByLayer(), 0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (ByLayer(decay=0.5), 0, [0.0625, 0.125, 0.25, 0.5, 1.0]),
        (ByLayer(thaw_steps=8), 0, [0.0, 0.0, 0.0, 0.0, 1.0]),
        (ByLayer(thaw_steps=8), 4, [0.0, 0.0, 1.0, 1.0, 1.0]),
        (ByLayer(thaw_steps=8), 8, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (ByLayer(decay=0.5, thaw_steps=8), 6, [0.0, 0.125, 0.25, 0.5, 1.0]),
    ],
    ids=["alike", "decay", "only the head has begun", "half have begun", "all have begun", "both"],
)
def test_rate_by_layer(by_layer: ByLayer, step: int, expected: list[float]) -> None:
    model = _Layered()
    spec = OPTIMIZER.validate_python({"type": "adamw"})
    optimizer = build(model, spec, learning_rate=1.0, weight_decay=0.1, fused=True, by_layer=by_layer)

    set_rate(optimizer, 1.0, step=step)

    rates = _rates(optimizer, model)
    assert [rates[name] for name in rates if name.endswith("weight")] == expected
    assert rates["classifier.bias"] == 1.0


def test_a_layer_that_has_not_begun_stays() -> None:
    model = _Layered()
    spec = OPTIMIZER.validate_python({"type": "adamw"})
    by_layer = ByLayer(thaw_steps=4)
    optimizer = build(model, spec, learning_rate=0.1, weight_decay=0.1, fused=True, by_layer=by_layer)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    set_rate(optimizer, 0.1, step=0)

    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()

    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {"classifier.weight", "classifier.bias"}
