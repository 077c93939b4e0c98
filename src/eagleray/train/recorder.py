"""What the first rank writes down while a run trains: progress, step figures, events, TensorBoard."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from tensorboardX import SummaryWriter

from eagleray.errors import StorageError
from eagleray.store import events, paths, runs
from eagleray.store.objects import Objects
from eagleray.store.steps import StepLog
from eagleray.train.loop import StepReport

logger = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 10.0
"""How old step figures may get before they are written: also what a killed run loses of them at most."""


class Recorder(Protocol):
    """What the session tells as it goes; only the first rank's recorder does anything."""

    def phase(self, phase: str) -> None: ...
    def step(self, report: StepReport) -> None: ...
    def evaluation(self, step: int, metrics: dict[str, Any]) -> None: ...
    def event(self, kind: str, **fields: Any) -> None: ...
    def close(self) -> None: ...


class SilentRecorder:
    """The recorder of all ranks but the first."""

    def phase(self, phase: str) -> None:
        """Do nothing."""

    def step(self, report: StepReport) -> None:
        """Do nothing."""

    def evaluation(self, step: int, metrics: dict[str, Any]) -> None:
        """Do nothing."""

    def event(self, kind: str, **fields: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class StorageRecorder:
    """Writes to the run's place on the storage; slow storage never holds up a step."""

    def __init__(self, objects: Objects, run: str, *, total_steps: int, log_every_steps: int, scratch: Path) -> None:
        self._objects, self._run = objects, run
        self._log_every_steps = log_every_steps
        self._steps = StepLog(objects, run)
        self._progress = runs.ProgressRecord(step=0, total_steps=total_steps, phase="preparing", updated_at=_now())
        self._board_dir = scratch / "tensorboard"
        self._board = SummaryWriter(str(self._board_dir), flush_secs=int(FLUSH_INTERVAL_S))
        self._window: list[StepReport] = []
        self._writer = LatestWriter(lambda progress: runs.put_progress(objects, run, progress), interval_s=0.5)
        self._flushed_at = time.monotonic()

    def phase(self, phase: str) -> None:
        """Say what the run is doing."""
        self._show(phase=phase)

    def step(self, report: StepReport) -> None:
        """Note a step: every one in the progress, every `log_every_steps`-th in the figures."""
        self._window.append(report)
        figures = _figures(self._window)
        self._show(phase="training", epoch=report.epoch, step=report.step, **figures)
        if report.step % self._log_every_steps and report.step != self._progress.total_steps:
            return
        row = {"step": report.step, "epoch": report.epoch, **figures, "gradient_norm": report.gradient_norm}
        self._steps.add({**row, "time": _now().isoformat()})
        for name, value in row.items():
            self._board.add_scalar(f"train/{name}", value, report.step)
        self._window = []
        if time.monotonic() - self._flushed_at > FLUSH_INTERVAL_S:
            self._flush()

    def evaluation(self, step: int, metrics: dict[str, Any]) -> None:
        """Note the metrics of an evaluation on the validation split."""
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        self._steps.add({"step": step, "validation": numbers, "time": _now().isoformat()})
        for name, value in numbers.items():
            self._board.add_scalar(f"validation/{name}", value, step)
        self.event("evaluated", step=step, metrics=numbers)
        self._flush()

    def event(self, kind: str, **fields: Any) -> None:
        """Append to the run's events."""
        events.append(self._objects, self._run, kind=kind, now=_now(), **fields)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()
        self._board.close()
        self._flush()

    def _show(self, **changes: Any) -> None:
        self._progress = self._progress.model_copy(update={**changes, "updated_at": _now()})
        self._writer.put(self._progress)

    def _flush(self) -> None:
        self._steps.flush()
        self._board.flush()
        for file in sorted(self._board_dir.iterdir()):
            self._objects.upload(f"{paths.tensorboard(self._run)}/{file.name}", file)
        self._flushed_at = time.monotonic()


class LatestWriter:
    """Writes the newest value in a thread, at most once an interval; values in between are dropped."""

    def __init__(self, write: Callable[[Any], None], *, interval_s: float) -> None:
        self._write, self._interval_s = write, interval_s
        self._latest: Any = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="progress", daemon=True)
        self._thread.start()

    def put(self, value: Any) -> None:
        """Hand over a value; returns at once."""
        self._latest = value
        self._wake.set()

    def close(self) -> None:
        """Write the last value and end the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._try_write()
            self._closing.wait(self._interval_s)
        self._try_write()

    def _try_write(self) -> None:
        if self._latest is None:
            return
        try:
            self._write(self._latest)
        except StorageError as error:
            logger.warning("progress could not be written and will be tried again: %s", error)


def _figures(window: list[StepReport]) -> dict[str, float]:
    """The mean figures of the steps since the last log line."""
    seconds = sum(report.seconds for report in window)
    samples = sum(report.num_samples for report in window)
    tokens = sum(report.num_tokens for report in window)
    cells = sum(report.num_cells for report in window)
    return {
        "loss": sum(report.loss for report in window) / len(window),
        "learning_rate": window[-1].learning_rate,
        "samples_per_s": samples / seconds,
        "tokens_per_s": tokens / seconds,
        "padding_share": 1.0 - tokens / cells if cells else 0.0,
    }


def _now() -> datetime:
    return datetime.now(UTC)
