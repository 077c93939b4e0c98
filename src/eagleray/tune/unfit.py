"""What does an error say of a configuration: that it cannot work, that the trial has failed, or nothing?"""

from __future__ import annotations

from typing import Literal

from eagleray import errors
from eagleray.store.lease import LeaseHeld
from eagleray.train.worker import failure_kind


def state_of(error: Exception) -> Literal["unfit", "failed"] | None:
    """Return how a trial ends with this error; None where another try may go well.

    Out of memory, a loss that is not finite, and values that the document or the model refuses come again with the
    same configuration, and the search should know. Samples that cannot be read come again with any.
    """
    if isinstance(error, LeaseHeld):  # the trial's last process is not known to be dead yet
        return None
    if isinstance(error, errors.BadSamples):
        return "failed"
    if isinstance(error, errors.NotFinite | errors.UserError) or failure_kind(error) == errors.OutOfMemory.__name__:
        return "unfit"
    return None
