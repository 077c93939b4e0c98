"""What is the average of the weights over the steps? It is kept beside each weight as the optimizer's moments are.

So it is sharded as they are, and saved and restored with them: at any ZeRO stage, by any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import torch

from eagleray.spec.averaging import AveragingSpec, EmaSpec, SwaSpec
from eagleray.train.fragments import Fragment

AVERAGE = "average"
_COUNT = "num_averaged"


def attach(optimizer: torch.optim.Optimizer, spec: AveragingSpec, *, total_steps: int) -> None:
    """Bring the average up to date after each of the optimizer's steps."""

    def update(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            if _counts(spec, step=group["step"], total_steps=total_steps):
                for weight in group["params"]:
                    _add(optimizer.state[weight], weight.detach(), spec)

    optimizer.register_step_post_hook(update)


def share(spec: AveragingSpec, num_averaged: int) -> float:
    """Return by which share the average moves towards the weights, `num_averaged` of which are in it already.

    An exponential average would hold on to the weights of the beginning for long: it is shorter while it is young.
    """
    match spec:
        case EmaSpec(decay=decay):
            return 1.0 - min(decay, num_averaged / (9.0 + num_averaged))
        case SwaSpec():
            return 1.0 / (num_averaged + 1)
        case _:
            assert_never(spec)


def swap(fragments: Iterable[Fragment]) -> None:
    """Exchange the weights of fragments for their average; once more brings them back to the last bit."""
    for fragment in fragments:
        if AVERAGE in fragment.state:
            weight, average = fragment.weight, fragment.moment(AVERAGE)
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)


def _counts(spec: AveragingSpec, *, step: int, total_steps: int) -> bool:
    """Whether the weights after step `step` (the first is 0) go into the average."""
    if isinstance(spec, EmaSpec):
        return True
    first = round(spec.start * total_steps)
    return step >= first and (step - first) % spec.every_steps == 0


def _add(state: dict[str, Any], weight: torch.Tensor, spec: AveragingSpec) -> None:
    number = int(state.get(_COUNT, 0))
    if AVERAGE not in state:
        state[AVERAGE] = torch.zeros_like(weight)
    state[AVERAGE].lerp_(weight, share(spec, number))
    state[_COUNT] = torch.tensor(float(number + 1))
