"""How do low-rank adapters learn while the pretrained weights stay (Hu et al. 2021, arXiv:2106.09685)?"""

from __future__ import annotations

import difflib
from typing import Any, Protocol

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from eagleray.errors import UserError

_LINEAR = (nn.Linear, Conv1D)

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


def apply(
    model: PreTrainedModel,
    *,
    task: HasModelClass,
    rank: int,
    alpha: float,
    dropout: float,
    target_modules: tuple[str, ...],
) -> PeftModel:
    """Put an adapter at each target layer: () for every linear layer but the head.

    The adapters learn, and a new head whole, since there is nothing pretrained in it to adapt.

    Raises:
        UserError: a target is the name of no linear layer.
    """
    targets = _targets(model, target_modules)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # annotated int, used as a factor
        lora_dropout=dropout,
        target_modules=targets,
        fan_in_fan_out=_are_transposed(model, targets),
        modules_to_save=heads(model) or None,
        task_type=_KINDS.get(task.model_class().__name__),
    )
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def heads(model: PreTrainedModel) -> list[str]:
    """The parts beside the base model that have weights of their own, such as `classifier`.

    Output embeddings are none of them: they are pretrained, and mostly tied to the input's.
    """
    output = _output(model)
    kept = [] if output is None else list(output.parameters())
    return [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix
        and any(True for _ in child.parameters())
        and not any(weight is other for weight in child.parameters() for other in kept)
    ]


def _are_transposed(model: PreTrainedModel, targets: list[str]) -> bool:
    """Whether the layers keep their weights as (inputs, outputs), as GPT-2's do."""
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, _LINEAR)]
    chosen = [module for name, module in named if any(name == t or name.endswith(f".{t}") for t in targets)]
    return all(isinstance(module, Conv1D) for module in chosen)


def _output(model: PreTrainedModel) -> nn.Module | None:
    return model.get_output_embeddings()  # type: ignore[no-untyped-call,no-any-return]


def _targets(model: PreTrainedModel, wanted: tuple[str, ...]) -> list[str]:
    linear = [name for name, module in model.named_modules() if isinstance(module, _LINEAR)]
    if not wanted:
        outside = heads(model)
        output = _output(model)
        found = [
            name for name in linear if name.partition(".")[0] not in outside and model.get_submodule(name) is not output
        ]
        if not found:
            raise UserError(
                f"method.type lora: {type(model).__name__} has no linear layer but its head, so there is nothing to "
                "adapt: use `full`"
            )
        return found
    endings = sorted({name.rpartition(".")[2] for name in linear})
    for target in wanted:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            close = difflib.get_close_matches(target, endings, n=1)
            raise UserError(
                f"method.target_modules: no linear layer is called `{target}`: {type(model).__name__} has "
                f"{', '.join(endings)}" + (f"; did you mean `{close[0]}`?" if close else "")
            )
    return list(wanted)
