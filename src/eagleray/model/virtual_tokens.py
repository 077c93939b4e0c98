"""How does a model with a learned prompt answer for the real tokens alone?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:  # who asks whether a model is peft's need not import it
    from peft import PeftModel

_A_TOKEN_EACH = {
    "CAUSAL_LM": ("logits",),
    "TOKEN_CLS": ("logits",),
    "QUESTION_ANS": ("start_logits", "end_logits"),
}
"""What of an answer has a place for each token, by peft's kind of task."""


def is_prompt(model: nn.Module) -> bool:
    """Whether the adapter of a model is a prompt: it stays beside the model and can be merged into no weight."""
    config = getattr(model, "active_peft_config", None)
    return config is not None and bool(config.is_prompt_learning)


def hidden(model: PeftModel) -> PeftModel:
    """Take the logits of learned embeddings off the model's answer, where there is one for each token.

    A prompt of keys and values has none: peft counts it as the past.
    """
    config = model.active_peft_config
    if config.peft_type == "PROMPT_TUNING":
        names = _A_TOKEN_EACH.get(config.task_type, ())
        model.register_forward_hook(partial(_without_prompt, names), with_kwargs=True)
    return model


def _without_prompt(
    names: tuple[str, ...], model: nn.Module, args: tuple[Any, ...], inputs: dict[str, torch.Tensor], answer: Any
) -> Any:
    for name in names:
        setattr(answer, name, getattr(answer, name)[:, -inputs["input_ids"].shape[1] :])
    return answer
