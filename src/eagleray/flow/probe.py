"""How long does a step take, and the start? A real run on the real workers tells, and is thrown away."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from eagleray.data.checks import DataReport
from eagleray.flow.measured import Measured, View
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store.events import Event
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.store.scratch import scratch_directory
from eagleray.train.ray_environment import is_embedded
from eagleray.train.run import fine_tune

WARM_UP_STEPS = 3
"""Left out: the first steps allocate what later ones reuse."""
MIN_S, MAX_S = 5.0, 30.0
"""Steps are taken for so long: at least the first, and no longer than the second once there are `ENOUGH_STEPS`."""
ENOUGH_STEPS = 20
UPLOADED_BYTES = 32 * 2**20
"""Of one object: enough that a connection comes up to its speed."""


def probe(document: FineTune, *, storage: str, cache_dir: Path, view: View) -> Measured:
    """Train for a few steps on the workers that the document asks for. Nothing of it stays on the storage.

    Raises:
        UserError: the document, the data or the scale cannot work as they are.
        ClusterError, StorageError, TrainingError: what went wrong, with what to do about it.
    """
    train = document.spec.train.model_copy(update={"baselines": False})
    document = document.model_copy(update={"spec": document.spec.model_copy(update={"train": train})})
    watch = _Watch(view)
    with _storage(storage) as place:
        try:
            fine_tune(document, text=dump(document), storage=place, cache_dir=cache_dir, observer=watch)
        except _Enough:
            view.say(f"{watch.steps.num} steps measured")
    steps = watch.steps
    return Measured(steps.startup_s, steps.seconds, steps.num, upload_bytes_per_s=_upload_speed(open_storage(storage)))


def _upload_speed(objects: Objects) -> float:
    key, data = f".eagleray-probe-{uuid.uuid4().hex}", os.urandom(UPLOADED_BYTES)
    started = time.monotonic()
    try:
        objects.put(key, data)
        return len(data) / (time.monotonic() - started)
    finally:
        objects.delete([key])


@dataclass(frozen=True, slots=True)
class _Steps:
    """What the steps took."""

    startup_s: float
    seconds: float  # one step
    num: int


class _Enough(Exception):  # it is no error
    """The steps are taken: the driver gives its workers up."""


class _Watch:
    """Looks on at the run until it knows enough."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._begun = time.monotonic()
        self._startup_s = 0.0
        self._seen: list[tuple[int, datetime]] = []

    @property
    def steps(self) -> _Steps:
        """What is known: of a run that was over before, what it showed."""
        steady = [each for each in self._seen if each[0] >= WARM_UP_STEPS] or self._seen
        (first, begun), (last, ended) = steady[0], steady[-1]
        if first == last:  # over at the first look: all its steps, with what was around them
            return _Steps(self._startup_s, (time.monotonic() - self._begun - self._startup_s) / max(last, 1), last)
        return _Steps(self._startup_s, (ended - begun).total_seconds() / (last - first), last - first)

    def say(self, message: str) -> None:
        """Tell it."""
        self._view.say(message)

    def warn(self, message: str) -> None:
        """Tell it."""
        self._view.warn(message)

    def preparing(self, stage: str, count: int) -> None:
        """The data are there already."""

    def data(self, report: DataReport) -> None:
        """It is shown with the estimate."""

    def created(self, record: RunRecord) -> None:
        """The run is gone soon."""

    def event(self, event: Event) -> None:
        """Nothing of it counts."""

    def progress(self, progress: ProgressRecord) -> None:
        """Note how far it is."""
        if progress.phase != "training" or not progress.step:
            return
        if not self._seen:
            self._startup_s = time.monotonic() - self._begun
        self._seen.append((progress.step, progress.updated_at))
        steps = self.steps
        lasted = steps.seconds * steps.num
        is_steady = self._seen[0][0] < progress.step and steps.num > 1
        if is_steady and lasted >= MIN_S and (steps.num >= ENOUGH_STEPS or lasted >= MAX_S):
            raise _Enough


@contextmanager
def _storage(storage: str) -> Iterator[str]:
    """A place that the workers see, and that is gone afterwards."""
    if is_embedded():
        with scratch_directory("probe") as folder:
            yield str(folder)
        return
    name = f".eagleray-probe-{uuid.uuid4().hex}"
    try:
        yield f"{storage.rstrip('/')}/{name}"
    finally:
        open_storage(storage).delete_folder(name)
