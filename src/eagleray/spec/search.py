"""How a sweep chooses the next configuration, and which trials it stops early."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Spec

Steps = Annotated[int, Field(ge=1)]


class GridSearchSpec(Spec):
    """Every combination of the values, once."""

    type: Literal["grid"]
    """How the next configuration is chosen."""


class RandomSearchSpec(Spec):
    """Configurations drawn at random, none of them by what came of the others."""

    type: Literal["random"]
    """How the next configuration is chosen."""
    seed: int = 0
    """The same seed draws the same configurations."""


class OptunaSearchSpec(Spec):
    """Configurations chosen by what came of those before (Akiba et al. 2019, arXiv:1907.10902)."""

    type: Literal["optuna"]
    """How the next configuration is chosen."""
    sampler: Literal["tpe", "gp"] = "tpe"
    """`tpe`: tree-structured Parzen estimator, for any space. `gp`: Gaussian process, for few keys and few trials."""
    seed: int = 0
    """The same seed and the same results choose the same configurations."""
    random_trials: Annotated[int, Field(ge=0)] = 8
    """So many configurations are drawn at random before the first is chosen."""


SearchSpec = Annotated[GridSearchSpec | RandomSearchSpec | OptunaSearchSpec, Field(discriminator="type")]


class FifoSpec(Spec):
    """Every trial comes to its end."""

    type: Literal["fifo"]
    """Which trials are stopped early."""


class AshaSpec(Spec):
    """Asynchronous successive halving: at each rung the best go on (Li et al. 2018, arXiv:1810.05934)."""

    type: Literal["asha"]
    """Which trials are stopped early."""
    grace_steps: Steps | None = None
    """The first rung: no trial is stopped before so many optimizer steps. Left out: a ninth of `max_steps`."""
    max_steps: Steps | None = None
    """The last rung. Left out: the steps of a whole trial."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in so many goes on from a rung to the next, which is so many times as far."""

    @model_validator(mode="after")
    def _max_is_not_below_grace(self) -> AshaSpec:
        if None not in (self.grace_steps, self.max_steps) and self.max_steps < self.grace_steps:  # type: ignore[operator]
            message = f"{self.max_steps} is below grace_steps {self.grace_steps}: no trial could ever be stopped"
            raise ConflictError(Conflict("max_steps", f"{message}; give more, or lower grace_steps"))
        return self


class HyperbandSpec(Spec):
    """Successive halving with several first rungs; trials wait for each other (Li et al. 2016, arXiv:1603.06560)."""

    type: Literal["hyperband"]
    """Which trials are stopped early."""
    max_steps: Steps | None = None
    """The last rung. Left out: the steps of a whole trial."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in so many goes on from a rung to the next."""


class MedianSpec(Spec):
    """A trial is stopped where its best is worse than the median of the others' means (Golovin et al. 2017)."""

    type: Literal["median"]
    """Which trials are stopped early."""
    grace_steps: Steps | None = None
    """No trial is stopped before so many optimizer steps. Left out: a ninth of the steps of a whole trial."""
    min_trials: Annotated[int, Field(ge=2)] = 3
    """How many others must have come as far."""


class PbtSpec(Spec):
    """Bad trials go on from a good one's checkpoint, with changed values (Jaderberg et al. 2017, arXiv:1711.09846)."""

    type: Literal["pbt"]
    """Which trials are stopped early."""
    every_steps: Steps
    """So many optimizer steps lie between two comparisons of a trial with the others."""
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    """The share of trials at the bottom that is replaced by a share as large at the top."""
    resample: Annotated[float, Field(ge=0, le=1)] = 0.25
    """How likely a value is drawn anew; else it becomes larger or smaller by a fifth, or its neighbour in a list."""
    seed: int = 0
    """Of what is drawn."""


SchedulerSpec = Annotated[
    FifoSpec | AshaSpec | HyperbandSpec | MedianSpec | PbtSpec,
    Field(discriminator="type"),
]
