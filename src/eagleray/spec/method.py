"""Which weights learn: one class a method, chosen by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Spec, Text


class FullSpec(Spec):
    """Every weight learns."""

    type: Literal["full"]
    """Which weights learn."""


class FreezeSpec(Spec):
    """Some weights stay as they are, the others learn; with nothing said the head alone learns."""

    type: Literal["freeze"]
    """Which weights learn."""
    bottom_layers: Annotated[int, Field(ge=0)] | None = None
    """So many layers from the bottom stay, and the embeddings. Left out, with no `patterns` and no `thaw`: all but the
    head."""
    patterns: tuple[Text, ...] = ()
    """Weights that stay, by name: `*.embeddings.*`, `*.layer.[0-3].*`."""
    thaw: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Gradual unfreezing (Howard and Ruder 2018, arXiv:1801.06146): over this share of the run the layers that shall
    learn begin to, one after another from the top. 0: all at once."""
    cache_features: bool = False
    """Run the frozen part once over all data, without its dropout, and train the head on what it said."""

    @model_validator(mode="after")
    def _features_need_a_frozen_base(self) -> FreezeSpec:
        if self.cache_features and (self.bottom_layers is not None or self.patterns or self.thaw):
            message = "needs all but the head frozen: leave out bottom_layers, patterns and thaw"
            raise ConflictError(Conflict("cache_features", message))
        return self


class LoraSpec(Spec):
    """Low-rank adapters learn, the pretrained weights stay (Hu et al. 2021, arXiv:2106.09685)."""

    type: Literal["lora"]
    """Which weights learn."""
    rank: Annotated[int, Field(ge=1)] = 8
    """Inner size of the adapters: more learns more and costs more."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """The update is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's input that is dropped while training."""
    rank_stabilized: bool = False
    """Scale by alpha / sqrt(rank) instead, which keeps high ranks learning (rsLoRA, Kalajdzievski 2023,
    arXiv:2312.03732)."""
    decomposed: bool = False
    """Learn the length of each weight's column apart from its direction (DoRA, Liu et al. 2024, arXiv:2402.09353)."""
    target_modules: tuple[Text, ...] = ()
    """Names of the linear layers that get an adapter; left out, or `[all-linear]`: all of them but the head."""


class Ia3Spec(Spec):
    """Factors on keys, values and inner activations learn (IA³, Liu et al. 2022, arXiv:2205.05638)."""

    type: Literal["ia3"]
    """Which weights learn."""


class _PromptSpec(Spec):
    type: str  # narrowed by each method; here so that it comes first
    num_virtual_tokens: Annotated[int, Field(ge=1)] = 20
    """Length of the learned prompt. Together with `data.max_length` it has to fit into the model's positions."""
    start_from: Text | None = None
    """A run on the same storage, by its id or its name, whose prompt this one begins with, and whose head where the
    labels are the same. Left out: a new prompt."""


class PTuningV2Spec(_PromptSpec):
    """A prompt in front of every layer's keys and values learns (Liu et al. 2021, arXiv:2110.07602)."""

    type: Literal["p_tuning_v2"]
    """Which weights learn."""


class PromptTuningSpec(_PromptSpec):
    """A prompt of embeddings before the text learns (Lester et al. 2021, arXiv:2104.08691)."""

    type: Literal["prompt_tuning"]
    """Which weights learn."""


MethodSpec = Annotated[
    FullSpec | FreezeSpec | LoraSpec | Ia3Spec | PTuningV2Spec | PromptTuningSpec, Field(discriminator="type")
]


def num_virtual_tokens(method: MethodSpec) -> int:
    """Return how many positions of the model a method takes for itself."""
    return method.num_virtual_tokens if isinstance(method, PTuningV2Spec | PromptTuningSpec) else 0
