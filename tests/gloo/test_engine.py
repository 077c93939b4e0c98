"""What does the engine do with a gradient that is no number?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from eagleray.spec.averaging import EmaSpec
from eagleray.spec.optimizer import AdamWSpec
from eagleray.spec.scale import ZeroSpec
from eagleray.train import averaging, deepspeed_config, optimizers
from eagleray.train.engine import Engine
from tests.support.gloo import GlooWorkers


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_gradient_that_is_not_finite_changes_no_weight(
    gloo_workers: Callable[[int], GlooWorkers], stage: int, clip: float | None
) -> None:
    for norm, changes, goes_on in gloo_workers(2).run(_two_steps, stage, clip):
        assert not math.isfinite(norm)
        assert not changes
        assert goes_on


def _two_steps(group: Any, stage: int, clip: float | None) -> tuple[float, bool, bool]:
    """In a worker process: the norm of a bad step's gradient, whether it changed a weight, and whether the next did."""
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, 0.5)
    zero = ZeroSpec(stage=stage)
    config = deepspeed_config.build(zero, world_size=2, precision="fp32", gradient_clip=clip, on_cpu=True)
    optimizer = optimizers.build(model, AdamWSpec(type="adamw"), learning_rate=0.1, weight_decay=0.1, fused=True)
    engine = Engine(model, optimizer=optimizer, config=config, group=group, gradient_clip=clip, averages=True)
    averaging.attach(optimizer, EmaSpec(type="ema"), total_steps=2)
    engine.set_learning_rate(0.1, step=0)
    before = _weights(engine)

    # The root of 0 is a number, its slope is none.
    bad = _step(engine, lambda said: (said - said).sqrt().sum())
    after = _weights(engine)
    _step(engine, torch.sum)
    last = _weights(engine)

    return bad, not _are_equal(before, after), not _are_equal(after, last)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_batch_norm_of_several_workers(gloo_workers: Callable[[int], GlooWorkers], stage: int) -> None:
    """Each saw rows of its own, and goes on with the mean; what is frozen, or only measured, has seen nothing."""
    for learned, frozen, measured in gloo_workers(2).run(_norms, stage):
        assert measured == [0.0, 0.0]
        assert learned == pytest.approx([0.05, 0.05])  # a tenth of 0 at one, of 1 at the other
        assert frozen == [0.0, 0.0]


def _norms(group: Any, stage: int) -> tuple[list[float], list[float], list[float]]:
    """In a worker process: running means after a step of the layer that learns, of the frozen one, and before it."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    model[1].requires_grad_(requires_grad=False)
    nn.init.constant_(model[0].bias, 3.0)  # what the frozen one would see
    config = deepspeed_config.build(
        ZeroSpec(stage=stage), world_size=2, precision="fp32", gradient_clip=None, on_cpu=True
    )
    optimizer = optimizers.build(model, AdamWSpec(type="adamw"), learning_rate=0.1, weight_decay=0.0, fused=True)
    engine = Engine(model, optimizer=optimizer, config=config, group=group, gradient_clip=None)
    engine.train()
    rows = torch.full((4, 2), float(group.rank))
    with engine.leaving_no_trace():
        engine.forward(input=rows)
    measured = engine.buffers()["0.running_mean"].tolist()
    engine.begin_micro_batch(is_last=True)
    engine.backward(engine.forward(input=rows).sum())
    engine.step()
    buffers = engine.buffers()
    return buffers["0.running_mean"].tolist(), buffers["1.running_mean"].tolist(), measured


def _step(engine: Engine, loss: Callable[[torch.Tensor], torch.Tensor]) -> float:
    engine.begin_micro_batch(is_last=True)
    engine.backward(loss(engine.forward(input=torch.ones(4, 3))))
    return engine.step()


def _weights(engine: Engine) -> list[torch.Tensor]:
    """What this rank holds, copied."""
    return [fragment.weight.clone() for fragment in engine.fragments(is_for_writing=False)]


def _are_equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
