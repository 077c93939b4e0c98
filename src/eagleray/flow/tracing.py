"""How many weights has the model of a document, and what does a pass over it hold? Asked of the model without weights.

Apart from `weighing` since it imports what transformers has for models, which takes longer than all else of a plan.
"""

from __future__ import annotations

import torch
from torch import nn

from eagleray import methods
from eagleray.model.load import empty_model
from eagleray.spec.finetune import FineTuneSpec
from eagleray.train import activations, dropout, losses
from eagleray.train.budget import Pass
from eagleray.train.inputs import Inputs
from eagleray.train.loading import DTYPES

Batch = dict[str, torch.Tensor]


def count(spec: FineTuneSpec, loaded: Inputs) -> tuple[int, int]:
    """All weights, tied ones once, and those that learn.

    Raises:
        UserError: the model or the method cannot work as they are.
    """
    weights = list(_model(spec, loaded).parameters())
    return sum(weight.numel() for weight in weights), sum(w.numel() for w in weights if w.requires_grad)


def trace(spec: FineTuneSpec, loaded: Inputs, batch: Batch, *, on_cpu: bool) -> Pass:
    """What one step over a batch holds."""
    minimised = losses.build(loaded.task, spec.train, label_counts=loaded.data.label_counts)
    traced = activations.trace(_model(spec, loaded), batch, loss=minimised, attention_drops=not on_cpu)
    return Pass(traced.activations, traced.with_gradients)


def _model(spec: FineTuneSpec, loaded: Inputs) -> nn.Module:
    model = empty_model(
        loaded.task.model_class(),
        source=spec.model.source,
        revision=spec.model.revision,
        dtype=DTYPES[spec.train.precision],
        config_overrides={**loaded.task.config_overrides(loaded.tokenizer), **dropout.overrides(spec.train)},
        allow_remote_code=spec.model.allow_remote_code,
    )
    dropout.check(model, spec.train)
    if spec.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
        model.enable_input_require_grads()  # type: ignore[no-untyped-call]
    return methods.apply(model, spec.method, task=loaded.task)
