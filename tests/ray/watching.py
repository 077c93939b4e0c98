"""Who looks on at a run in a test, and may interfere."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eagleray.data.checks import DataReport
from eagleray.store.events import Event
from eagleray.store.runs import ProgressRecord, RunRecord


class Watcher:
    """An Observer that keeps what it is told, and acts: when the run is created, and when training has come to a step.

    Each act is done once, in the order of the steps, no two of them at one look; what it raises ends the driver.
    """

    def __init__(
        self, *, on_created: Callable[[], None] | None = None, at: Mapping[int, Callable[[], None]] | None = None
    ) -> None:
        self._on_created = on_created
        self._acts = sorted((at or {}).items())
        self.said: list[str] = []
        self.warnings: list[str] = []
        self.run = ""
        self.seen: list[ProgressRecord] = []
        self.events: list[Event] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def preparing(self, stage: str, count: int) -> None:
        self.said.append(f"{stage} {count}")

    def data(self, report: DataReport) -> None:
        self.report = report

    def created(self, record: RunRecord) -> None:
        self.run = record.run
        if self._on_created is not None:
            self._on_created()

    def event(self, event: Event) -> None:
        self.events.append(event)

    def progress(self, progress: ProgressRecord) -> None:
        self.seen.append(progress)
        if progress.phase == "training" and self._acts and progress.step >= self._acts[0][0]:
            _, act = self._acts.pop(0)
            act()
