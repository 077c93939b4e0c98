"""What is who looks on told of a run, in the driver's process?"""

from __future__ import annotations

from typing import Protocol

from eagleray.data.checks import DataReport
from eagleray.store.events import Event
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.store.stops import Reason

ASKED: dict[Reason, str] = {
    "interrupt": "finishing the step and saving; Ctrl-C again stops at once",
    "preemption": "this machine, or one of the workers', will be taken away: saving",
    "resize": "there is room for more workers: saving, to go on with them",
}
"""What is said once the workers were asked to stop."""


class Observer(Protocol):
    """Who looks on."""

    def say(self, message: str) -> None:
        """Something worth a line."""

    def warn(self, message: str) -> None:
        """Something that the user should know before it is too late."""

    def preparing(self, stage: str, count: int) -> None:
        """The data is being prepared: a stage, and how far it has come."""

    def data(self, report: DataReport) -> None:
        """The data is prepared and looks like this."""

    def created(self, record: RunRecord) -> None:
        """The run exists on the storage under this id."""

    def progress(self, progress: ProgressRecord) -> None:
        """The workers have come this far."""

    def event(self, event: Event) -> None:
        """Something was written to the run's events."""
