"""How does an adapter become a whole model, for whoever knows transformers and no adapters?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from eagleray.errors import UserError
from eagleray.model import description, virtual_tokens
from eagleray.model.ensemble import Ensemble
from eagleray.tasks import trained


def merge(directory: Path, to: Path) -> None:
    """Write the model of a directory with its adapter merged into the base, in fp32; a whole model stays as it is.

    Raises:
        UserError: the adapter is a learned prompt, which is part of no weight; the model is an ensemble.
        ModelSourceError: the base is gone or is another one now.
    """
    loaded = trained.load(directory, device=torch.device("cpu"))
    if virtual_tokens.is_prompt(loaded.model):
        raise UserError("a learned prompt can be merged into no weight: export it as it is, and load it by peft")
    if isinstance(loaded.model, Ensemble):
        raise UserError(
            f"an ensemble of {len(loaded.model.members)} models is no single one: export it as it is, or make one of "
            "the same trials by `eagleray sweep ensemble --combine soup`"
        )
    model: Any = loaded.model
    model.save_pretrained(to, max_shard_size="1000GB")
    loaded.tokenizer.save_pretrained(to)
    description.write(to, description.read(directory))
