"""How the learning rate goes over the run: one class each, chosen by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, NotNegative, Positive, Share, Spec, Text


class _Warmup(Spec):
    type: str  # narrowed by each schedule; here so that it comes first
    warmup: Share = 0.0
    """Share of all steps in which the rate rises linearly from zero."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """The same as a number of optimizer steps."""

    @model_validator(mode="after")
    def _one_warmup(self) -> _Warmup:
        if self.warmup and self.warmup_steps:
            message = "`warmup` (a fraction) and `warmup_steps` exclude each other: keep the one you mean"
            raise ConflictError(Conflict("warmup_steps", message))
        return self


class ConstantSpec(_Warmup):
    """The same rate after the warmup."""

    type: Literal["constant"]
    """The shape of the learning rate over the run."""


class LinearSpec(_Warmup):
    """A straight line down to zero at the last step."""

    type: Literal["linear"]
    """The shape of the learning rate over the run."""


class CosineSpec(_Warmup):
    """Half a cosine down to `final` of the rate."""

    type: Literal["cosine"]
    """The shape of the learning rate over the run."""
    final: Share = 0.0
    """Where the rate ends, as a share of `learning_rate`."""


class CosineWithRestartsSpec(_Warmup):
    """Several half cosines, each from the full rate (Loshchilov and Hutter 2016, arXiv:1608.03983)."""

    type: Literal["cosine-with-restarts"]
    """The shape of the learning rate over the run."""
    cycles: Annotated[int, Field(ge=1)] = 2
    """How often the shape repeats over the run."""


class CyclicalSpec(_Warmup):
    """A triangle between `low` of the rate and the rate (Smith 2015, arXiv:1506.01186)."""

    type: Literal["cyclical"]
    """The shape of the learning rate over the run."""
    cycles: Annotated[int, Field(ge=1)] = 2
    """How often the shape repeats over the run."""
    low: Share = 0.1
    """The lower end of the triangle, as a share of `learning_rate`."""


class PolynomialSpec(_Warmup):
    """(1 - progress) ** power, down to `final` of the rate."""

    type: Literal["polynomial"]
    """The shape of the learning rate over the run."""
    power: Positive = 2.0
    """1 is a straight line; more falls faster at first."""
    final: Share = 0.0
    """Where the rate ends, as a share of `learning_rate`."""


class OneCycleSpec(Spec):
    """Up from `low` of the rate to the rate, then down to `final`, both along half cosines (Smith and Topin 2017,
    arXiv:1708.07120)."""

    type: Literal["one-cycle"]
    """The shape of the learning rate over the run."""
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of all steps in which the rate rises."""
    low: Share = 0.04
    """Where the rate begins, as a share of `learning_rate`."""
    final: Share = 0.0
    """Where the rate ends, as a share of `learning_rate`."""


class ReduceOnPlateauSpec(_Warmup):
    """The same rate until a validation metric has not improved for a while, then `factor` of it."""

    type: Literal["reduce-on-plateau"]
    """The shape of the learning rate over the run."""
    metric: Text = "loss"
    """A metric of the task on the validation split."""
    mode: Literal["max", "min"] = "min"
    """`max`: higher is better, as for accuracy. `min`: lower is better, as for a loss."""
    patience: Annotated[int, Field(ge=1)] = 2
    """After how many evaluations in a row without an improvement the rate falls."""
    min_delta: NotNegative = 0.0
    """The least change of the metric that counts as an improvement."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What is left of the rate each time."""
    final: Share = 0.0
    """The rate never falls below this share of `learning_rate`."""


ScheduleSpec = Annotated[
    ConstantSpec
    | LinearSpec
    | CosineSpec
    | CosineWithRestartsSpec
    | CyclicalSpec
    | PolynomialSpec
    | OneCycleSpec
    | ReduceOnPlateauSpec,
    Field(discriminator="type"),
]
