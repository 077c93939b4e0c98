"""How does every weight learn?"""

from __future__ import annotations

from transformers import PreTrainedModel

from eagleray.methods.base import HasModelClass


def apply(model: PreTrainedModel, *, task: HasModelClass) -> PreTrainedModel:
    """Set every weight to learn."""
    model.requires_grad_(True)
    return model
