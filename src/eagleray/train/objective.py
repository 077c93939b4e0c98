"""What does training minimise?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import assert_never

import torch

from eagleray.errors import UserError
from eagleray.spec.train import CrossEntropySpec, FocalSpec, LossSpec
from eagleray.tasks import emphasis
from eagleray.tasks.base import Batch, Forward, Task
from eagleray.tasks.emphasis import Emphasis
from eagleray.tasks.text_classification import TextClassification

Loss = Callable[[Forward, Batch], tuple[torch.Tensor, torch.Tensor]]
"""`Task.loss` as training has it: with smoothing, weights and whatever else evaluations leave out."""


def of(task: Task, spec: LossSpec, *, label_smoothing: float, label_counts: Mapping[str, int]) -> Loss:
    """Return the loss of a document. `label_counts`: how many training rows have each label.

    Raises:
        UserError: it weighs what is no label.
    """
    emphasised = _emphasis(task, spec, label_counts)
    if emphasised is None:
        return partial(task.loss, label_smoothing=label_smoothing)
    assert isinstance(task, TextClassification)  # the document allows it for no other
    return partial(task.loss, label_smoothing=label_smoothing, emphasis=emphasised)


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
