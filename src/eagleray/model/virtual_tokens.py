"""How does a model with a learned prompt answer for the real tokens alone?"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel, PeftType, TaskType
from torch import nn

_A_TOKEN_EACH = (TaskType.CAUSAL_LM, TaskType.TOKEN_CLS)


def is_prompt(model: nn.Module) -> bool:
    """Whether the adapter of a model is a prompt: it stays beside the model and can be merged into no weight."""
    return isinstance(model, PeftModel) and bool(model.active_peft_config.is_prompt_learning)


def hidden(model: PeftModel) -> PeftModel:
    """Take the logits of learned embeddings off the model's answer, where there is one for each token.

    A prompt of keys and values has none: peft counts it as the past.
    """
    config = model.active_peft_config
    if config.peft_type == PeftType.PROMPT_TUNING and config.task_type in _A_TOKEN_EACH:
        model.register_forward_hook(_without_prompt, with_kwargs=True)
    return model


def _without_prompt(model: nn.Module, args: tuple[Any, ...], inputs: dict[str, torch.Tensor], answer: Any) -> Any:
    answer.logits = answer.logits[:, -inputs["input_ids"].shape[1] :]
    return answer
