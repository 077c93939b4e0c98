"""When a run is saved, how many checkpoints stay and which one is best."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Spec, Text


class BestBySpec(Spec):
    """The metric that ranks checkpoints."""

    metric: Text
    """A metric of the task on the validation split, as `f1_macro` or `loss`."""
    mode: Literal["max", "min"]
    """`max`: higher is better, as for accuracy. `min`: lower is better, as for a loss."""


class CheckpointSpec(Spec):
    """When the run is saved, and what stays."""

    every_steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps between two checkpoints. Left out: one at the end of each epoch."""
    keep: Annotated[int, Field(ge=1)] = 2
    """How many of the newest stay; the best one stays besides."""
    best_by: BestBySpec | None = None
    """What makes a checkpoint the best; of equals the lower loss does. Left out: the task's own main metric on the
    validation split."""
