"""How is a model that eagleray wrote loaded again, for prediction?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from eagleray.errors import ModelSourceError
from eagleray.model import description, sources, virtual_tokens
from eagleray.model.bases import Bases
from eagleray.model.description import BaseModelRecord, Description
from eagleray.model.ensemble import Ensemble
from eagleray.model.load import load_model


def load_trained(
    directory: Path,
    facts: Description,
    *,
    model_class: type[Any],
    config_overrides: dict[str, Any],
    dtype: torch.dtype,
    bases: Bases | None = None,
) -> nn.Module:
    """The model in evaluation mode. An adapter's base must be the one it was trained on.

    An adapter is merged into its base, which then is its own; with `bases` it stays apart and shares it with others.
    A learned prompt stays before its base in any case.

    Raises:
        ModelSourceError: the base is gone or is another one now, or the files are damaged.
    """
    if facts.ensemble is not None:
        options: dict[str, Any] = {"model_class": model_class, "config_overrides": config_overrides, "dtype": dtype}
        places = [directory / place for place in facts.ensemble.members]
        members = [load_trained(place, description.read(place), bases=bases, **options) for place in places]
        together = facts.ensemble
        return Ensemble(members, weights=together.weights, combine=together.combine, output=together.output).eval()
    if not (directory / "adapter_config.json").is_file():
        model: nn.Module = load_model(
            model_class,
            source=str(directory),
            dtype=dtype,
            config_overrides=config_overrides,
            allow_remote_code=facts.base.allow_remote_code,
        )
        return model.eval()
    if not any(directory.glob("adapter_model*.safetensors")):
        raise ModelSourceError(f"{directory} has an adapter_config.json and no adapter_model.safetensors")
    _check_base(facts.base)

    def load() -> nn.Module:
        base: nn.Module = load_model(
            model_class,
            source=facts.base.source,
            revision=facts.base.revision,
            dtype=dtype,
            config_overrides=config_overrides,
            allow_pickle=facts.base.allow_pickle,
            allow_remote_code=facts.base.allow_remote_code,
        )
        return base

    if bases is None:
        return _merged(PeftModel.from_pretrained(load(), directory)).eval()
    key = repr((model_class.__name__, facts.base.model_dump(), dtype, sorted(config_overrides.items())))
    return _apart(PeftModel.from_pretrained(bases.twin(key, load), directory)).eval()


def _merged(model: PeftModel) -> nn.Module:
    if virtual_tokens.is_prompt(model):
        return virtual_tokens.hidden(model)
    merged: nn.Module = model.merge_and_unload()
    return merged


def _apart(model: PeftModel) -> nn.Module:
    """The module itself, which LoRA was put into: still a model of transformers. A prompt is around it."""
    base: nn.Module = virtual_tokens.hidden(model) if virtual_tokens.is_prompt(model) else model.get_base_model()
    return base


def _check_base(base: BaseModelRecord) -> None:
    found = sources.sha256(base.source)
    if base.sha256 and found != base.sha256:
        raise ModelSourceError(
            f"{base.source} has changed since the adapter was trained on it (sha256 {found[:12]} instead of "
            f"{base.sha256[:12]}): put the weights of then back, or train again"
        )
