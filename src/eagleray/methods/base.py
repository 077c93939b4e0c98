"""What do methods know of a task and of a model: its kind for peft, its head, its depth?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from peft import PeftConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

# peft gives each kind a wrapper of its own, and whoever loads an adapter by peft's Auto classes finds it by the kind.
_KINDS = {
    "AutoModelForSequenceClassification": TaskType.SEQ_CLS,
    "AutoModelForTokenClassification": TaskType.TOKEN_CLS,
    "AutoModelForQuestionAnswering": TaskType.QUESTION_ANS,
    "AutoModelForSeq2SeqLM": TaskType.SEQ_2_SEQ_LM,
    "AutoModelForCausalLM": TaskType.CAUSAL_LM,
}


class HasModelClass(Protocol):
    """What a method needs to know of a task."""

    def model_class(self) -> type[Any]:
        """The Auto class of transformers that puts the task's head on a model."""
        ...


def kind(task: HasModelClass) -> TaskType | None:
    """What peft calls the task; None for one that it has no wrapper for."""
    return _KINDS.get(task.model_class().__name__)


def adapted(model: PreTrainedModel, config: PeftConfig) -> PeftModel:
    """The model with an adapter of this kind, which learns, and nothing else but what the config names."""
    wrapped = get_peft_model(model, config)
    assert isinstance(wrapped, PeftModel)
    return wrapped


def heads(model: PreTrainedModel) -> list[str]:
    """The parts beside the base model that have weights of their own, such as `classifier`.

    Output embeddings are none of them: they are pretrained, and mostly tied to the input's.
    """
    if not hasattr(model, model.base_model_prefix):  # as T5: encoder and decoder are no heads
        return []
    output = output_embeddings(model)
    kept = [] if output is None else list(output.parameters())
    return [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix
        and any(True for _ in child.parameters())
        and not any(weight is other for weight in child.parameters() for other in kept)
    ]


def output_embeddings(model: PreTrainedModel) -> nn.Module | None:
    """The layer from hidden states to the vocabulary, where the model has one."""
    return model.get_output_embeddings()  # type: ignore[no-untyped-call,no-any-return]


def depths(names: Iterable[str]) -> dict[str, int]:
    """How far up each parameter lies, by its name, in the order of the model.

    0 is all before the first numbered block, the embeddings; block `n` is `n + 1`; what has no number after it, as the
    head and a last norm, lies above all blocks. Encoder and decoder of one model are counted side by side.
    """
    numbers = {name: _block(name) for name in names}
    top = max((number + 2 for number in numbers.values() if number is not None), default=1)
    found, is_below = {}, True
    for name, number in numbers.items():
        is_below = is_below and number is None and top > 1
        found[name] = 0 if is_below else top if number is None else number + 1
    return found


def _block(name: str) -> int | None:
    """The first number in a name: `encoder.layer.3.output.dense.weight` is of block 3."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)
