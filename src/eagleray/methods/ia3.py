"""How do factors on keys, values and inner activations learn (IA³, Liu et al. 2022, arXiv:2205.05638)?"""

from __future__ import annotations

from peft import IA3Config, PeftModel
from transformers import PreTrainedModel

from eagleray.errors import UserError
from eagleray.methods import base
from eagleray.methods.base import HasModelClass


def apply(model: PreTrainedModel, *, task: HasModelClass) -> PeftModel:
    """Multiply what three layers of each block give by learned factors; a new head learns whole.

    Raises:
        UserError: peft does not know which layers those are in this architecture.
    """
    config = IA3Config(task_type=base.kind(task), modules_to_save=base.heads(model) or None)
    try:
        return base.adapted(model, config)
    except ValueError as error:
        raise UserError(
            f"method.type ia3: the layers of a {model.config.model_type} that it scales are not known: use lora"
        ) from error
