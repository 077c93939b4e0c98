"""Where a session takes its data and its pretrained model from: read anew, or kept from the session before."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from eagleray.model import quantized
from eagleray.model.load import load_model
from eagleray.spec.finetune import FineTuneSpec
from eagleray.train import dropout, inputs
from eagleray.train.inputs import Inputs

if TYPE_CHECKING:  # see `model.load`
    from transformers import PreTrainedModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Loader:
    """Reads everything anew."""

    def inputs(self, spec: FineTuneSpec, *, cache_dir: Path) -> Inputs:
        """Return tokenizer, task and prepared data of a document."""
        return inputs.load(spec, cache_dir=cache_dir)

    def pretrained(self, spec: FineTuneSpec, loaded: Inputs) -> PreTrainedModel:
        """Return the pretrained model with a new head; what is random of it comes from torch's generator."""
        model = load_model(
            loaded.task.model_class(),
            source=spec.model.source,
            revision=spec.model.revision,
            dtype=DTYPES[spec.train.precision],
            config_overrides={**loaded.task.config_overrides(loaded.tokenizer), **dropout.overrides(spec.train)},
            allow_pickle=spec.model.allow_pickle,
            allow_remote_code=spec.model.allow_remote_code,
            quantization=quantized.options(spec.model.quantization),
        )
        dropout.check(model, spec.train)
        return model


class Keeper(Loader):
    """Keeps the last of each, for sessions one after another in a process: the next differs in a learning rate only.

    What is given out is as it was read: the model is a copy, and the generator stands where reading leaves it.
    """

    def __init__(self) -> None:
        self._inputs: tuple[str, Inputs] | None = None
        self._model: tuple[str, PreTrainedModel, torch.Tensor] | None = None

    def inputs(self, spec: FineTuneSpec, *, cache_dir: Path) -> Inputs:
        """See Loader."""
        key = _key(spec)
        if self._inputs is None or self._inputs[0] != key:
            self._inputs = key, super().inputs(spec, cache_dir=cache_dir)
        return self._inputs[1]

    def pretrained(self, spec: FineTuneSpec, loaded: Inputs) -> PreTrainedModel:
        """See Loader."""
        key = f"{_key(spec)} {spec.train.precision} {loaded.data.labels} {dropout.overrides(spec.train)}"
        if self._model is None or self._model[0] != key:
            self._model = key, super().pretrained(spec, loaded), torch.get_rng_state()
        _, model, generator = self._model
        torch.set_rng_state(generator)
        return copy.deepcopy(model)


def _key(spec: FineTuneSpec) -> str:
    """What data and pretrained weights follow from: the seed draws the validation rows and the new head."""
    parts = (spec.model, spec.task, spec.data)
    return " ".join([*(part.model_dump_json() for part in parts), str(spec.train.seed)])
