"""How often a run starts again after its workers have ended, by what ended them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eagleray.spec.base import Spec

LONGEST_BACKOFF_S = 300
"""No start is held back longer, however often it is tried."""

# Described here, because each kind of failure has its own defaults and pydantic inherits no description with them.
Retries = Annotated[
    int, Field(ge=0, description="How many restarts in a row, without a new checkpoint between them, are made at most.")
]
BackoffS = Annotated[
    float,
    Field(
        ge=0,
        le=LONGEST_BACKOFF_S,
        description="Seconds before the second restart in a row. The first is at once, each later one waits double.",
    ),
]


class BudgetSpec(Spec):
    """How often, and how soon, a run starts again after one kind of failure."""

    retries: Retries
    backoff_s: BackoffS


class InfrastructureBudgetSpec(BudgetSpec):
    """Restarts after a worker or a node was lost."""

    retries: Retries = 5
    backoff_s: BackoffS = 5.0


class PreemptionBudgetSpec(BudgetSpec):
    """Restarts after a node was taken away with notice."""

    retries: Retries = 100
    backoff_s: BackoffS = 0.0


class OutOfMemoryBudgetSpec(BudgetSpec):
    """Restarts after a worker ran out of memory. Each halves the micro batch."""

    retries: Retries = 5
    backoff_s: BackoffS = 0.0


class HangBudgetSpec(BudgetSpec):
    """Restarts after the watchdog ended workers that made no progress."""

    retries: Retries = 3
    backoff_s: BackoffS = 5.0


class NumericalBudgetSpec(BudgetSpec):
    """Restarts after a loss or a gradient that was not finite. The same steps mostly end the same way."""

    retries: Retries = 0
    backoff_s: BackoffS = 0.0


class DataBudgetSpec(BudgetSpec):
    """Restarts after samples that raised when they were batched, and again when they were tried again."""

    retries: Retries = 0
    backoff_s: BackoffS = 0.0


class FaultBudgetSpec(BudgetSpec):
    """Restarts after any other exception. A fault in software mostly comes again."""

    retries: Retries = 0
    backoff_s: BackoffS = 0.0


class FailuresSpec(Spec):
    """What a run does when its workers fail. A mistake in the document or the arguments is never tried again."""

    infrastructure: InfrastructureBudgetSpec = InfrastructureBudgetSpec()
    """A worker or a node was lost."""
    preemption: PreemptionBudgetSpec = PreemptionBudgetSpec()
    """A node was taken away with notice."""
    out_of_memory: OutOfMemoryBudgetSpec = OutOfMemoryBudgetSpec()
    """A worker ran out of memory."""
    hang: HangBudgetSpec = HangBudgetSpec()
    """A worker made no progress for `watchdog.timeout_s`."""
    numerical: NumericalBudgetSpec = NumericalBudgetSpec()
    """Loss or gradient were not finite for `max_non_finite_steps`."""
    data: DataBudgetSpec = DataBudgetSpec()
    """Samples raised when they were read or batched."""
    fault: FaultBudgetSpec = FaultBudgetSpec()
    """Any other exception."""
    skip_bad_samples: bool = False
    """Go on without the samples that raise again when they are tried again. They are listed in `quarantine.jsonl`."""
    max_non_finite_steps: Annotated[int, Field(ge=1)] = 3
    """So many steps in a row end the workers whose loss or gradient is not finite; none of them changes the weights."""
    wait_for_workers_s: Annotated[float, Field(ge=0)] = 600.0
    """How long a run that lost workers waits until enough of them fit on the cluster again."""
