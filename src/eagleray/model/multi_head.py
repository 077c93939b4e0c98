"""How do several heads of transformers stand on one encoder?

Each head is that of the Auto class of its task, as transformers wrote it: its class runs its own `forward`, and is
handed what the one encoder has said instead of running one. A batch goes through the encoder once, whatever it is for.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from eagleray.errors import ModelSourceError
from eagleray.model.load import overridden

Part = tuple[str, int, int, int]
"""The name of a head, the first of its rows in the batch, how many they are, and how many tokens it reads of them."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a head is made of."""

    model_class: type[Any]  # an Auto class
    overrides: Mapping[str, Any] = field(default_factory=dict)  # of the model's config


class MultiHeadModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The encoder lies where its own architecture has it, so that `AutoModel` loads it from the saved files.

    What stands beside it in the model of a head is called `<head>_<its name there>`.
    """

    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: PreTrainedConfig, models: Mapping[str, PreTrainedModel]) -> None:
        """Take the models apart: the widest of their encoders stays."""
        super().__init__(config)
        self.base_model_prefix = prefix = _prefix(models)
        self.add_module(prefix, _widest([getattr(model, prefix) for model in models.values()]))
        # No submodules of this one: what they compute with is looked up here, where peft and DeepSpeed may wrap it.
        self.bodies: dict[str, PreTrainedModel] = {}
        self.children_of: dict[str, tuple[str, ...]] = {}
        for head, model in models.items():
            named = {name: child for name, child in model.named_children() if name != prefix}
            for name, child in named.items():
                self.add_module(f"{head}_{name}", child)
            model._modules.clear()
            self.bodies[head], self.children_of[head] = model, tuple(named)
        self.all_tied_weights_keys: dict[str, str] = {}

    def forward(
        self,
        *,
        heads: Sequence[Part],
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> dict[str, Any]:
        """Return what each head says of its rows, by its name, as its model would alone.

        `input_ids`, `attention_mask`, `token_type_ids`: (rows, length) int64, filled on the right.
        """
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        encoder = getattr(self, self.base_model_prefix)
        said = encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **types)
        return {
            name: self._answer(
                name,
                _cut(said, slice(start, start + rows), length),
                input_ids=input_ids[start : start + rows, :length],
                attention_mask=attention_mask[start : start + rows, :length],
            )
            for name, start, rows, length in heads
        }

    def _answer(self, head: str, said: Any, **inputs: torch.Tensor) -> Any:
        # A copy for this call alone: threads of an endpoint may ask at the same time.
        body = copy.copy(self.bodies[head])
        body.__dict__[self.base_model_prefix] = lambda *args, **kwargs: said
        for name in self.children_of[head]:
            body.__dict__[name] = getattr(self, f"{head}_{name}")
        return body(**inputs)


def auto_class(heads: Mapping[str, Head]) -> type[Any]:
    """What loads such a model as an Auto class of transformers loads its own."""
    return type("AutoModelForMultiTask", (_Auto,), {"heads": dict(heads)})


class _Auto:
    heads: ClassVar[dict[str, Head]] = {}

    @classmethod
    def from_pretrained(
        cls, place: Path | str, *, config: PreTrainedConfig, **options: Any
    ) -> tuple[MultiHeadModel, dict[str, Any]]:
        """Load the encoder, and those heads that an earlier run with several has left; the others are new.

        Heads are taken from a directory alone: of a name on the hub the encoder comes, and all heads are new.
        """
        models: dict[str, PreTrainedModel] = {}
        facts = {}
        for name, head in cls.heads.items():
            model, facts[name] = head.model_class.from_pretrained(place, config=_config(config, head), **options)
            _add(models, name, model)
        joint = MultiHeadModel(copy.deepcopy(config), models)
        found = _found(joint, facts)
        if isinstance(place, Path):
            found["missing_keys"] -= _load_heads(joint, place)
        return joint, found

    @classmethod
    def from_config(cls, config: PreTrainedConfig, **options: Any) -> MultiHeadModel:
        """Build it without weights of any source."""
        models = {
            name: head.model_class.from_config(_config(config, head), **options) for name, head in cls.heads.items()
        }
        return MultiHeadModel(copy.deepcopy(config), models)


def _add(models: dict[str, PreTrainedModel], name: str, model: PreTrainedModel) -> None:
    """Add the model of a head, and leave one encoder to all: the others' memory is free before the next is loaded."""
    prefix = model.base_model_prefix
    own = getattr(model, prefix, None)
    for other in models.values():
        one = getattr(other, prefix, None)
        if isinstance(own, nn.Module) and isinstance(one, nn.Module) and type(one) is type(own):
            own = _widest([one, own])
            setattr(other, prefix, own)
            setattr(model, prefix, own)
    models[name] = model


def _widest(encoders: Sequence[nn.Module]) -> nn.Module:
    """One may lack the pooler that another reads."""
    return max(encoders, key=lambda encoder: sum(1 for _ in encoder.parameters()))


def _prefix(models: Mapping[str, PreTrainedModel]) -> str:
    """What the architecture calls its encoder. Raises ModelSourceError where there is none beside the heads."""
    prefix = next(iter(models.values())).base_model_prefix
    # One class: an architecture may have one encoder for tags, and another for labels.
    is_one = len({type(getattr(model, prefix, None)) for model in models.values()}) == 1
    for model in models.values():
        has_decoder = bool(model.config.is_encoder_decoder)
        if not is_one or has_decoder or not hasattr(model, prefix) or model._parameters:
            raise ModelSourceError(
                f"model.source: a {type(model).__name__} has no encoder that several heads can share: choose one such "
                "as BERT, RoBERTa or DeBERTa"
            )
    return prefix


def _config(config: PreTrainedConfig, head: Head) -> PreTrainedConfig:
    return overridden(copy.deepcopy(config), head.overrides)


def _found(joint: MultiHeadModel, facts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What transformers says of loading each model, under the names of the joint one."""
    known, encoder = set(joint.state_dict()), f"{joint.base_model_prefix}."

    def renamed(head: str, name: str) -> str:
        return name if name.startswith(encoder) else f"{head}_{name}"

    missing = {renamed(head, name) for head, each in facts.items() for name in each["missing_keys"]}
    mismatched = [
        (renamed(head, name), *sizes) for head, each in facts.items() for name, *sizes in each["mismatched_keys"]
    ]
    return {"missing_keys": missing & known, "mismatched_keys": [each for each in mismatched if each[0] in known]}


def _load_heads(joint: MultiHeadModel, directory: Path) -> set[str]:
    """Take the weights of heads from the files of a model like this; returns which those were."""
    own = joint.state_dict()
    taken = set()
    for file in sorted(directory.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in set(weights.keys()) & own.keys():
                is_head = not name.startswith(f"{joint.base_model_prefix}.")
                if is_head and list(weights.get_slice(name).get_shape()) == list(own[name].shape):
                    own[name].copy_(weights.get_tensor(name))
                    taken.add(name)
    return taken


def _cut(said: Any, rows: slice, length: int) -> Any:
    """What an encoder said of these rows, of each its first tokens: its states (rows, length, width), and what it
    pooled (rows, width)."""
    found = type(said)()
    for name, value in said.items():
        if isinstance(value, torch.Tensor):
            found[name] = value[rows, :length] if name == "last_hidden_state" else value[rows]
    return found
