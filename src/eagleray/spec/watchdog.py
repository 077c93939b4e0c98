"""When a worker that makes no progress is taken for hung."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eagleray.spec.base import Spec


class WatchdogSpec(Spec):
    """The watch over the workers' progress."""

    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """A worker that makes no progress for so long ends the workers; their stacks are kept, and the run starts again."""
