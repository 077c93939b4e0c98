"""What is minimised: the task's loss, and what a document adds to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import assert_never

import torch
from torch.nn import functional

from eagleray.errors import UserError
from eagleray.spec.loss import CrossEntropySpec, FocalSpec, LossSpec
from eagleray.spec.train import TrainSpec
from eagleray.tasks import emphasis
from eagleray.tasks.base import Batch, Forward, Task
from eagleray.tasks.emphasis import Emphasis
from eagleray.tasks.text_classification import TextClassification

Loss = Callable[[Forward, Batch], tuple[torch.Tensor, torch.Tensor]]
"""As `Task.loss`: the weighted sum over the targets of a batch, and the logits."""


def build(task: Task, spec: TrainSpec, *, label_counts: Mapping[str, int]) -> Loss:
    """Return the loss of a training step. `label_counts`: how many training rows have each label.

    Raises:
        UserError: it weighs what is no label.
    """
    loss = partial(task.loss, label_smoothing=spec.label_smoothing)
    emphasised = _emphasis(task, spec.loss, label_counts)
    if emphasised is not None:
        assert isinstance(task, TextClassification)  # the document allows it for no other
        loss = partial(task.loss, label_smoothing=spec.label_smoothing, emphasis=emphasised)
    return partial(_r_drop, loss, weight=spec.r_drop) if spec.r_drop else loss


def _emphasis(task: Task, spec: LossSpec, label_counts: Mapping[str, int]) -> Emphasis | None:
    if spec.is_plain:
        return None
    try:
        weights = emphasis.named(task.labels, spec.weights) if spec.weights else ()
    except ValueError as error:
        raise UserError(f"spec.train.loss.weights: {error}") from error
    if spec.class_weights == "balanced":
        weights = emphasis.balanced(task.labels, label_counts)
    match spec:
        case CrossEntropySpec():
            return Emphasis(weights=weights)
        case FocalSpec():
            return Emphasis(gamma=spec.gamma, weights=weights)
    assert_never(spec)


def _r_drop(loss: Loss, forward: Forward, batch: Batch, *, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """R-Drop (Liang et al. 2021, arXiv:2106.14448): two passes under other dropout masks shall say the same.

    The rows go through the model twice in one batch, so that there is one forward and one backward pass whatever the
    ZeRO stage. What is added to the mean of both losses is `weight` times the mean divergence of either from the other.
    """
    total, logits = loss(forward, {name: torch.cat([tensor, tensor]) for name, tensor in batch.items()})
    one, other = logits.chunk(2)
    labels = batch["labels"]
    divergences = _between_classes(one, other) if labels.dim() == 1 else _between_labels(one, other)
    return total / 2 + weight * (divergences * batch["weights"]).sum(), one


def _between_classes(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(rows,) for one label a row."""
    p, q = functional.log_softmax(one, dim=-1), functional.log_softmax(other, dim=-1)
    return ((p.exp() - q.exp()) * (p - q)).sum(dim=-1) / 2


def _between_labels(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(rows,) for several labels a row, the mean over them as in the loss. p - q of each, times that of its odds."""
    return ((one.sigmoid() - other.sigmoid()) * (one - other)).mean(dim=-1) / 2
