"""What do the architectures of transformers call their dropout, for a document that sets it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eagleray.errors import UserError
from eagleray.spec.train import TrainSpec

if TYPE_CHECKING:  # see `model.load`
    from transformers import PreTrainedModel

_NAMES = {
    "dropout": (
        "classifier_dropout",
        "classifier_dropout_prob",
        "dropout",
        "dropout_rate",
        "embd_pdrop",
        "hidden_dropout",
        "hidden_dropout_prob",
        "pooler_dropout",
        "resid_pdrop",
        "seq_classif_dropout",
        "summary_first_dropout",
    ),
    "attention_dropout": ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop"),
}
"""By key of `train`: the attributes of a model's config."""


def overrides(spec: TrainSpec) -> dict[str, Any]:
    """Return what is set in the model's config, whatever it calls it."""
    wanted = {key: getattr(spec, key) for key in _NAMES}
    return {name: wanted[key] for key, names in _NAMES.items() if wanted[key] is not None for name in names}


def check(model: PreTrainedModel, spec: TrainSpec) -> None:
    """Raise UserError where a document sets a dropout that the model has not."""
    for key, names in _NAMES.items():
        if getattr(spec, key) and not any(hasattr(model.config, name) for name in names):
            raise UserError(f"train.{key}: {type(model).__name__} has no such dropout: leave it out")
