"""How does a prompt of learned embeddings learn, put before the words of each text (Lester et al. 2021,
arXiv:2104.08691)?
"""

from __future__ import annotations

from peft import PeftModel, PromptTuningConfig, TaskType
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from eagleray.errors import UserError
from eagleray.methods import base
from eagleray.methods.base import HasModelClass
from eagleray.model import virtual_tokens


def apply(
    model: PreTrainedModel, *, task: HasModelClass, num_virtual_tokens: int, start_from: str | None = None
) -> PeftModel:
    """Put `num_virtual_tokens` learned embeddings before each text; they learn, and a new head whole.

    `start_from` is the business of who knows the storage.

    Raises:
        UserError: the model is a decoder that shall classify: it finds the end of a text by its words, which it is not
            given when it is given embeddings.
    """
    kind = base.kind(task)
    if kind == TaskType.SEQ_CLS and model.config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise UserError(
            f"method.type prompt_tuning: {type(model).__name__} cannot classify texts behind learned embeddings, "
            "because it finds their end by the padding token: use method.type p_tuning_v2"
        )
    config = PromptTuningConfig(
        task_type=kind, num_virtual_tokens=num_virtual_tokens, modules_to_save=base.heads(model) or None
    )
    return virtual_tokens.hidden(base.adapted(model, config))
