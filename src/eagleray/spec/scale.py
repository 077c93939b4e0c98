"""How many workers a run takes, what each gets, and what DeepSpeed shards over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from eagleray.spec.base import Conflict, ConflictError, Spec


class ZeroSpec(Spec):
    """What ZeRO shards over the workers (Rajbhandari et al. 2019, arXiv:1910.02054)."""

    stage: Literal[0, 1, 2, 3] = 0
    """0: nothing. 1: optimizer state. 2: and gradients. 3: and weights."""
    offload_optimizer: bool = False
    """Keep the optimizer state in the memory of the host."""
    offload_parameters: bool = False
    """Keep the weights in the memory of the host between uses (stage 3)."""

    @field_validator("stage", mode="before")
    @classmethod
    def _true_is_no_stage(cls, value: Any) -> Any:
        # Python counts True as 1, and so would the Literal above.
        if isinstance(value, bool):
            raise ValueError("a number is needed")
        return value

    @model_validator(mode="after")
    def _offload_needs_a_stage(self) -> ZeroSpec:
        conflicts = list(_offload_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self


def _offload_conflicts(zero: ZeroSpec) -> Iterator[Conflict]:
    if zero.offload_parameters and zero.stage != 3:
        yield Conflict("offload_parameters", f"needs stage 3, this is stage {zero.stage}: set `stage: 3`")
    if zero.offload_optimizer and zero.stage == 0:
        yield Conflict("offload_optimizer", "needs stage 1, 2 or 3, this is stage 0: set `stage: 1`")


class ScaleSpec(Spec):
    """How many workers, and what each gets."""

    num_workers: Annotated[int, Field(ge=1)] = 1
    """Processes that train together, each with its share of every batch."""
    min_workers: Annotated[int, Field(ge=1)] | None = None
    """The fewest to train with where not all fit; the run grows to `num_workers` as soon as they do. Left out: all."""
    cpus_per_worker: Annotated[float, Field(gt=0)] | None = None
    """CPUs reserved for a worker, and its threads. Left out: an even share of this machine, on a cluster 1."""
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    """1 trains on GPUs, one a worker."""
    zero: ZeroSpec = ZeroSpec()
    """What DeepSpeed shards over the workers."""

    @model_validator(mode="after")
    def _fewest_are_not_more_than_all(self) -> ScaleSpec:
        if self.min_workers is not None and self.min_workers > self.num_workers:
            message = f"{self.min_workers} is more than num_workers {self.num_workers}: it is the fewest to train with"
            raise ConflictError(Conflict("min_workers", message))
        return self
