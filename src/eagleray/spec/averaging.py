"""How the weights of the steps are averaged: one class each, chosen by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Share, Spec


class EmaSpec(Spec):
    """An average in which each step's weights fade exponentially."""

    type: Literal["ema"]
    """How the weights of the steps are averaged."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """What stays of the average at each step; less while there were few steps."""


class SwaSpec(Spec):
    """The mean of the weights of the last part of the run (Izmailov et al. 2018, arXiv:1803.05407)."""

    type: Literal["swa"]
    """How the weights of the steps are averaged."""
    start: Share = 0.75
    """Share of all steps after which the average begins; a constant or cyclical schedule suits it."""
    every_steps: Annotated[int, Field(ge=1)] = 1
    """Optimizer steps between two weights that go into it."""


AveragingSpec = Annotated[EmaSpec | SwaSpec, Field(discriminator="type")]
