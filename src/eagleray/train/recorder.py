"""What the first rank writes down while a run trains, and what it looks for: progress, figures, events, a stop."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tensorboardX import SummaryWriter

from eagleray.errors import StorageError
from eagleray.store import events, lease, mistakes, paths, runs, stops, times
from eagleray.store.mistakes import MistakesRecord
from eagleray.store.objects import Objects
from eagleray.store.patience import persist
from eagleray.store.steps import StepLog
from eagleray.store.times import Activity, AttemptTimes, Saved
from eagleray.train.loop import StepReport

logger = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 10.0
"""How old step figures may get before they are written: also what a killed run loses of them at most."""
ROUND_S = 0.5
"""How often the progress is written and a request to stop is looked for."""
CLOSING_S = 30.0
"""How long a run that ends waits for a storage that does not answer."""


class Recorder(Protocol):
    """What the session tells as it goes; only the first rank's recorder does anything."""

    @property
    def stop_reason(self) -> stops.Reason | None: ...
    @property
    def problem(self) -> StorageError | None: ...
    def phase(self, phase: str) -> None: ...
    def step(self, report: StepReport) -> None: ...
    def evaluation(self, step: int, metrics: dict[str, Any]) -> None: ...
    def mistakes(self, record: MistakesRecord) -> None: ...
    def spent(self, activity: Activity, seconds: float) -> None: ...
    def saved(self, step: int) -> None: ...
    def event(self, kind: str, **fields: Any) -> None: ...
    def close(self) -> None: ...


class SilentRecorder:
    """The recorder of all ranks but the first."""

    @property
    def stop_reason(self) -> stops.Reason | None:
        """The first rank hears of it."""
        return None

    @property
    def problem(self) -> StorageError | None:
        """The first rank has it."""
        return None

    def phase(self, phase: str) -> None:
        """Do nothing."""

    def step(self, report: StepReport) -> None:
        """Do nothing."""

    def evaluation(self, step: int, metrics: dict[str, Any]) -> None:
        """Do nothing."""

    def mistakes(self, record: MistakesRecord) -> None:
        """Do nothing."""

    def spent(self, activity: Activity, seconds: float) -> None:
        """Do nothing."""

    def saved(self, step: int) -> None:
        """Do nothing."""

    def event(self, kind: str, **fields: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class StorageRecorder:
    """Writes to the run's place on the storage in a thread: a slow or absent storage never holds up a step.

    Any thread may call `event`.
    """

    def __init__(
        self,
        objects: Objects,
        run: str,
        *,
        lease_number: int,
        total_steps: int,
        log_every_steps: int,
        scratch: Path,
    ) -> None:
        self._objects, self._run, self._lease_number = objects, run, lease_number
        self._log_every_steps = log_every_steps
        self._steps = StepLog(objects, run, lease=lease_number)
        self._progress = runs.ProgressRecord(step=0, total_steps=total_steps, phase="preparing", updated_at=_now())
        self._board_dir = scratch / "tensorboard"
        self._board = SummaryWriter(str(self._board_dir), flush_secs=int(FLUSH_INTERVAL_S))
        self._window: list[StepReport] = []
        self._times = AttemptTimes(lease=lease_number, until=_now(), step=0)
        self._stop_reason: stops.Reason | None = None
        self._writer = BackgroundWriter(self._look, interval_s=ROUND_S)
        self._written = self._progress
        self._flushed_at = time.monotonic()

    @property
    def stop_reason(self) -> stops.Reason | None:
        """Why the attempt is asked to stop; None where it is not."""
        return self._stop_reason

    @property
    def problem(self) -> StorageError | None:
        """Why nothing can be written any more: the lease is lost, or the storage was waited for in vain."""
        return self._writer.error

    def phase(self, phase: str) -> None:
        """Say what the run is doing."""
        self._show(phase=phase)

    def step(self, report: StepReport) -> None:
        """Note a step: every one in the progress, every `log_every_steps`-th in the figures."""
        self.spent("data", report.waited_s)
        self.spent("steps", report.seconds - report.waited_s)
        self._times = self._times.model_copy(update={"step": report.step})
        self._window.append(report)
        figures = _figures(self._window)
        self._show(
            phase="training", epoch=report.epoch, step=report.step, useful_s=self._times.seconds["steps"], **figures
        )
        if report.layer_norms:
            self._add({"step": report.step, "gradient_norms": report.layer_norms, "time": _now().isoformat()})
        if report.step % self._log_every_steps and report.step != self._progress.total_steps:
            return
        row = {"step": report.step, "epoch": report.epoch, **figures, "gradient_norm": report.gradient_norm}
        self._add({**row, "time": _now().isoformat()})
        for name, value in row.items():
            self._board.add_scalar(f"train/{name}", value, report.step)
        self._window = []
        if time.monotonic() - self._flushed_at > FLUSH_INTERVAL_S:
            self._flush()

    def evaluation(self, step: int, metrics: dict[str, Any]) -> None:
        """Note the metrics of an evaluation on the validation split."""
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        self._add({"step": step, "validation": numbers, "time": _now().isoformat()})
        for name, value in numbers.items():
            self._board.add_scalar(f"validation/{name}", value, step)
        self.event("evaluated", step=step, metrics=numbers)
        self._flush()

    def mistakes(self, record: MistakesRecord) -> None:
        """Write down the rows of a split that the model is most wrong about."""
        self._writer.put(lambda: lease.check(self._objects, self._run, self._lease_number))
        self._writer.put(lambda: mistakes.put(self._objects, self._run, record))

    def spent(self, activity: Activity, seconds: float) -> None:
        """Note what training has done with its time."""
        before = self._times.seconds
        total = {**before, activity: before.get(activity, 0.0) + seconds}
        self._times = self._times.model_copy(update={"until": _now(), "seconds": total})

    def saved(self, step: int) -> None:
        """Note that a checkpoint was taken."""
        noted = (*self._times.saved, Saved(step=step, steps_s=self._times.seconds.get("steps", 0.0)))
        self._times = self._times.model_copy(update={"saved": noted[-times.MAX_SAVED :]})

    def event(self, kind: str, **fields: Any) -> None:
        """Append to the run's events."""
        now = _now()
        self._writer.put(lambda: events.append(self._objects, self._run, kind=kind, now=now, **fields))

    def close(self) -> None:
        """Write what is still in memory."""
        self._board.close()
        self._flush()
        self._writer.close(give_up_after_s=CLOSING_S)

    def _add(self, row: dict[str, Any]) -> None:
        self._writer.put(lambda: self._steps.add(row))  # in the writer's thread: so is its flush

    def _show(self, **changes: Any) -> None:
        self._progress = self._progress.model_copy(update={**changes, "updated_at": _now()})

    def _flush(self) -> None:
        self._flushed_at = time.monotonic()
        self._writer.put(lambda: lease.check(self._objects, self._run, self._lease_number))
        self._writer.put(self._steps.flush)
        self._writer.put(partial(times.put, self._objects, self._run, self._times))
        self._writer.put(self._upload_board)

    def _upload_board(self) -> None:
        for file in sorted(self._board_dir.iterdir()):
            self._objects.upload(f"{paths.tensorboard(self._run)}/{file.name}", file)

    def _look(self) -> None:
        """What is done each round: the newest progress goes out, a request to stop comes in."""
        progress = self._progress
        if progress is not self._written:
            runs.put_progress(self._objects, self._run, progress)
            self._written = progress
        if self._stop_reason is None:
            request = stops.read(self._objects, self._run, self._lease_number)
            self._stop_reason = request.reason if request else None


class BackgroundWriter:
    """Does small writes in a thread, in their order, each until the storage takes it."""

    def __init__(self, each_round: Callable[[], None], *, interval_s: float) -> None:
        self._each_round, self._interval_s = each_round, interval_s
        self._waiting: deque[Callable[[], None]] = deque()
        self.error: StorageError | None = None
        """For what writing was given up."""
        self._give_up_after_s = 120.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recorder", daemon=True)
        self._thread.start()

    def put(self, write: Callable[[], None]) -> None:
        """Hand over a write; returns at once."""
        self._waiting.append(write)

    def close(self, *, give_up_after_s: float) -> None:
        """Write what waits and end the thread."""
        self._give_up_after_s = give_up_after_s
        self._closing.set()
        self._thread.join()

    def _loop(self) -> None:
        try:
            while not self._closing.wait(self._interval_s):
                self._round()
            self._round()
        except StorageError as error:
            logger.warning("given up: %s", error)
            self.error = error

    def _round(self) -> None:
        while self._waiting:
            self._persist(self._waiting[0])
            self._waiting.popleft()
        self._persist(self._each_round)

    def _persist(self, write: Callable[[], None]) -> None:
        persist(
            write,
            give_up_after_s=self._give_up_after_s,
            on_trouble=lambda error: logger.warning("tried again: %s", error),
        )


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
