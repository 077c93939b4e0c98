"""How many weights has the model of a document, and what does a pass over it hold? Asked of the model without weights.

Apart from `weighing` since it imports what transformers has for models, which takes longer than all else of a plan.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

from eagleray import methods
from eagleray.model.load import empty_model
from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.method import FreezeSpec
from eagleray.spec.model import Nf4Spec
from eagleray.train import activations, dropout, features, losses
from eagleray.train.budget import Packed, Pass
from eagleray.train.inputs import Inputs
from eagleray.train.loading import DTYPES

Batch = dict[str, torch.Tensor]

_BLOCK = 64
"""Weights that share a scale, and 256 such scales one of their own where they are quantised, too: bitsandbytes'."""


def count(spec: FineTuneSpec, loaded: Inputs) -> tuple[int, int, Packed | None]:
    """All weights, tied ones once, those that learn, and those that are held in fewer bits.

    Raises:
        UserError: the model or the method cannot work as they are.
    """
    pretrained = _pretrained(spec, loaded)
    packed = None if spec.model.quantization is None else _packed(pretrained, spec.model.quantization)
    weights = list(methods.apply(pretrained, spec.method, task=loaded.task).parameters())
    return sum(weight.numel() for weight in weights), sum(w.numel() for w in weights if w.requires_grad), packed


def trace(spec: FineTuneSpec, loaded: Inputs, batch: Batch, *, on_cpu: bool) -> Pass:
    """What one step over a batch holds; where features are cached, one of the head alone."""
    minimised = losses.build(loaded.task, spec.train, label_counts=loaded.data.label_counts)
    model = methods.apply(_pretrained(spec, loaded), spec.method, task=loaded.task)
    if isinstance(spec.method, FreezeSpec) and spec.method.cache_features:
        assert isinstance(model, PreTrainedModel)
        width = features.read(model)
        batch = {**batch, features.COLUMN: torch.zeros(len(batch["input_ids"]), width)}
    traced = activations.trace(model, batch, loss=minimised, attention_drops=not on_cpu)
    return Pass(traced.activations, traced.with_gradients)


def trace_answer(spec: FineTuneSpec, loaded: Inputs, batch: Batch, *, on_cpu: bool) -> int:
    """The most that a pass over a batch holds which nothing learns from."""
    return activations.trace(
        _pretrained(spec, loaded), batch, loss=loaded.task.loss, attention_drops=not on_cpu, learns=False
    ).activations


def _pretrained(spec: FineTuneSpec, loaded: Inputs) -> PreTrainedModel:
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
    return model


def _packed(model: PreTrainedModel, spec: Nf4Spec) -> Packed:
    """The linear layers but the output, as transformers chooses them."""
    kept = get_keys_to_not_convert(model)
    sizes = [
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and should_convert_module(name, kept)
    ]
    scale_bytes = 1 + 4 / 256 if spec.double else 4
    num = sum(sizes)
    return Packed(num, round(num * (0.5 + scale_bytes / _BLOCK)), 2 * max(sizes, default=0))
