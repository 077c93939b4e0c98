"""How does every weight learn?"""

from __future__ import annotations

from transformers import PreTrainedModel


def apply(model: PreTrainedModel) -> PreTrainedModel:
    """Set every weight to learn."""
    model.requires_grad_(True)
    return model
