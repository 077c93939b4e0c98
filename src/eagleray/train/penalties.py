"""How do L1 and L2 terms of the loss reach the gradient, when every rank holds only its part of the weights?"""

from __future__ import annotations

from typing import Any

import torch


def attach(optimizer: torch.optim.Optimizer, *, l1: float, l2: float) -> None:
    """Add `l1 * sign(w) + l2 * w` to the gradient of each weight that decays, before each of the optimizer's steps.

    There, behind clipping and the exchange of gradients, a rank has gradients for just those weights that it holds,
    at every ZeRO stage. Nothing is attached where both are 0.
    """

    def add(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            for weight in group["params"] if group["decays"] else ():
                if weight.grad is not None:
                    weight.grad.add_(weight.detach().sign(), alpha=l1).add_(weight.detach(), alpha=l2)

    if l1 or l2:
        optimizer.register_step_pre_hook(add)
