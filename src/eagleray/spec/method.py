"""Which weights learn: one class a method, chosen by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Spec, Text


class FullSpec(Spec):
    """Every weight learns."""

    type: Literal["full"]
    """Which weights learn."""


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
    target_modules: tuple[Text, ...] = ()
    """Names of the linear layers that get an adapter; left out, all of them but the head."""


MethodSpec = Annotated[FullSpec | LoraSpec, Field(discriminator="type")]
