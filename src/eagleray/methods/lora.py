"""How do low-rank adapters learn while the pretrained weights stay (Hu et al. 2021, arXiv:2106.09685)?"""

from __future__ import annotations

import difflib

from peft import LoraConfig, PeftModel
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from eagleray.errors import UserError
from eagleray.methods import base
from eagleray.methods.base import HasModelClass

ALL = "all-linear"
_LINEAR = (nn.Linear, Conv1D)


def apply(
    model: PreTrainedModel,
    *,
    task: HasModelClass,
    rank: int,
    alpha: float,
    dropout: float,
    rank_stabilized: bool,
    decomposed: bool,
    target_modules: tuple[str, ...],
) -> PeftModel:
    """Put an adapter at each target layer: () or ("all-linear",) for every linear layer but the head.

    The adapters learn, and a new head whole, since there is nothing pretrained in it to adapt.

    Raises:
        UserError: a target is the name of no linear layer.
    """
    targets = _targets(model, target_modules)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # annotated int, used as a factor
        lora_dropout=dropout,
        use_rslora=rank_stabilized,
        use_dora=decomposed,
        target_modules=targets,
        fan_in_fan_out=_are_transposed(model, targets),
        modules_to_save=base.heads(model) or None,
        task_type=base.kind(task),
    )
    return base.adapted(model, config)


def _are_transposed(model: PreTrainedModel, targets: list[str]) -> bool:
    """Whether the layers keep their weights as (inputs, outputs), as GPT-2's do."""
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, _LINEAR)]
    chosen = [module for name, module in named if any(name == t or name.endswith(f".{t}") for t in targets)]
    return all(isinstance(module, Conv1D) for module in chosen)


def _targets(model: PreTrainedModel, wanted: tuple[str, ...]) -> list[str]:
    linear = [name for name, module in model.named_modules() if isinstance(module, _LINEAR)]
    if wanted in ((), (ALL,)):
        outside = base.heads(model)
        output = base.output_embeddings(model)
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
