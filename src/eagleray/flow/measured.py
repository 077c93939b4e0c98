"""What a probe has measured, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen, by the driver's clock."""

    startup_s: float  # from the call to the first step
    step_s: float
    num_steps: int  # that it is the mean of
    upload_bytes_per_s: float  # that the storage took of one object


class View(Protocol):
    """Who is told how the probe goes."""

    def say(self, message: str) -> None: ...
    def warn(self, message: str) -> None: ...
