"""Who looks on at a run in a test, and may interfere."""

from __future__ import annotations

from collections.abc import Callable

from eagleray.data.checks import DataReport
from eagleray.store.runs import ProgressRecord, RunRecord


class Watcher:
    """An Observer that keeps what it is told; `on_created` and `on_training` are each called once."""

    def __init__(
        self, *, on_created: Callable[[], None] | None = None, on_training: Callable[[], None] | None = None
    ) -> None:
        self._on_created, self._on_training = on_created, on_training
        self.said: list[str] = []
        self.warnings: list[str] = []
        self.run = ""
        self.seen: list[ProgressRecord] = []

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

    def progress(self, progress: ProgressRecord) -> None:
        self.seen.append(progress)
        if progress.phase == "training" and self._on_training is not None:
            act, self._on_training = self._on_training, None
            act()
