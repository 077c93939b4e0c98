"""How does a prompt in front of every layer's keys and values learn (Liu et al. 2021, arXiv:2110.07602)?"""

from __future__ import annotations

from peft import PeftModel, PrefixTuningConfig
from transformers import PreTrainedModel

from eagleray.methods import base
from eagleray.methods.base import HasModelClass


def apply(
    model: PreTrainedModel, *, task: HasModelClass, num_virtual_tokens: int, start_from: str | None = None
) -> PeftModel:
    """Put `num_virtual_tokens` learned keys and values before each layer's own; they learn, and a new head whole.

    As in the paper there is no network behind them: what learns is what is used. `start_from` is the business of who
    knows the storage.
    """
    config = PrefixTuningConfig(
        task_type=base.kind(task), num_virtual_tokens=num_virtual_tokens, modules_to_save=base.heads(model) or None
    )
    return base.adapted(model, config)
