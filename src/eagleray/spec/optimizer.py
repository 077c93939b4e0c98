"""Which optimizer updates the weights: one class each, chosen by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Positive, Share, Spec


class AdamWSpec(Spec):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101), fused where torch offers it."""

    type: Literal["adamw"]
    """The optimizer."""
    beta1: Share = 0.9
    """Decay of the mean of the gradient."""
    beta2: Share = 0.999
    """Decay of the mean of its square."""
    epsilon: Positive = 1e-8
    """Added to the denominator, against division by zero."""


class AdamSpec(Spec):
    """Adam (Kingma and Ba 2014, arXiv:1412.6980); weight decay is an L2 term of the loss."""

    type: Literal["adam"]
    """The optimizer."""
    beta1: Share = 0.9
    """Decay of the mean of the gradient."""
    beta2: Share = 0.999
    """Decay of the mean of its square."""
    epsilon: Positive = 1e-8
    """Added to the denominator, against division by zero."""


class RmspropSpec(Spec):
    """RMSprop (Hinton 2012, lecture 6e)."""

    type: Literal["rmsprop"]
    """The optimizer."""
    decay: Share = 0.99
    """Decay of the mean of the squared gradient."""
    momentum: Share = 0.0
    """Share of the last update that is kept."""
    epsilon: Positive = 1e-8
    """Added to the denominator, against division by zero."""


class SgdSpec(Spec):
    """Stochastic gradient descent."""

    type: Literal["sgd"]
    """The optimizer."""
    momentum: Share = 0.0
    """Share of the last update that is kept."""
    nesterov: bool = False
    """Look ahead along the momentum."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SgdSpec:
        if self.nesterov and not self.momentum:
            raise ConflictError(Conflict("nesterov", "needs a momentum, this is 0: set `momentum: 0.9`"))
        return self


OptimizerSpec = Annotated[AdamWSpec | AdamSpec | RmspropSpec | SgdSpec, Field(discriminator="type")]
