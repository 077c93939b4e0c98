"""Which weights learn: one file a method, chosen by the `type` of the document's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from eagleray.methods import full, lora
from eagleray.spec.method import FullSpec, LoraSpec, MethodSpec

__all__ = ["METHODS", "apply"]


def apply(model: PreTrainedModel, spec: MethodSpec, *, task: lora.HasModelClass) -> nn.Module:
    """The model with those weights set to learn that the method wants. The given model is changed, not copied."""
    return METHODS[spec.type](model, spec, task)


def _full(model: PreTrainedModel, spec: FullSpec, task: lora.HasModelClass) -> nn.Module:
    return full.apply(model)


def _lora(model: PreTrainedModel, spec: LoraSpec, task: lora.HasModelClass) -> nn.Module:
    return lora.apply(
        model,
        task=task,
        rank=spec.rank,
        alpha=spec.alpha,
        dropout=spec.dropout,
        target_modules=spec.target_modules,
    )


METHODS: dict[str, Callable[[PreTrainedModel, Any, lora.HasModelClass], nn.Module]] = {"full": _full, "lora": _lora}
