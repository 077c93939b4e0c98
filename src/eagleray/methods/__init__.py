"""Which weights learn: one file a method, chosen by the `type` of the document's method."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from transformers import PreTrainedModel

from eagleray.methods import freeze, full, ia3, lora, p_tuning_v2, prompt_tuning
from eagleray.methods.base import HasModelClass
from eagleray.spec.method import MethodSpec

__all__ = ["METHODS", "apply"]


def apply(model: PreTrainedModel, spec: MethodSpec, *, task: HasModelClass) -> nn.Module:
    """The model with those weights set to learn that the method wants. The given model is changed, not copied."""
    options = {name: getattr(spec, name) for name in type(spec).model_fields if name != "type"}
    return METHODS[spec.type](model, task=task, **options)


METHODS: dict[str, Callable[..., nn.Module]] = {
    "full": full.apply,
    "freeze": freeze.apply,
    "lora": lora.apply,
    "ia3": ia3.apply,
    "p_tuning_v2": p_tuning_v2.apply,
    "prompt_tuning": prompt_tuning.apply,
}
"""Each takes the options of its spec by their names."""
