"""A run whose processes are killed again and again, at moments chosen by lot, ends as if nothing had been.

Real processes, killed for real: what no fake foresees is what this looks for.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, runs
from eagleray.store.objects import Objects
from tests.ray import disturbed
from tests.ray.processes import Command, Shell, shell, wait_until

RUN = "test-0001"
STEPS = 1400
SEED = 2026

WRITES, UPLOADS = "a worker that writes a checkpoint", "a worker that uploads a checkpoint"
DRIVER_UPLOADS, RESTORES = "the driver, during an upload", "all, while one worker restores what two wrote"
PLAN = ["a worker", "the driver", "all workers", WRITES, UPLOADS, DRIVER_UPLOADS, RESTORES] * 2


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where the workers keep what they write, to be watched. Ray's sockets lie there too: a path has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="er-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def user(tmp_path: Path, scratch: Path) -> Iterator[Shell]:
    with shell(tmp_path, TMPDIR=str(scratch)) as opened:
        yield opened


@pytest.fixture
def wanted(model_with_dropout: Path, reviews: Path) -> FineTune:
    often = {"retries": 100, "backoff_s": 0}
    return disturbed.wanted(
        model_with_dropout, reviews, train={"epochs": 200, "micro_batch_size": 2}, failures={"infrastructure": often}
    )


class Victim:
    """A run of the command, started again whenever its driver was killed, and what can be killed of it."""

    def __init__(self, user: Shell, job: Path, objects: Objects, *, scratch: Path, lots: random.Random) -> None:
        self._user, self._job, self._objects, self._scratch, self._lots = user, job, objects, scratch, lots
        self._driver = self._start()
        self._num_seen = 0  # attempts that began to train
        self.hits: Counter[str] = Counter()
        """Kills that came at the moment that was waited for, and not just after it."""

    def kill(self, what: str) -> None:
        """Wait for the moment, and kill."""
        if what == RESTORES:
            self._kill_restoring()
            return
        self._wait(lambda: self._num_started() > self._num_seen)
        self._num_seen = self._num_started()
        time.sleep(self._lots.uniform(0.0, 1.0))
        lease = disturbed.newest_lease(self._objects, RUN)
        if what == WRITES:
            self._wait(lambda: bool(self._written(lease)), every_s=0.001)
        if what in (UPLOADS, DRIVER_UPLOADS):
            self._wait(lambda: bool(disturbed.uploads(self._objects, RUN, lease=lease)), every_s=0.001)
        match what:
            case "the driver" | "the driver, during an upload":
                self._driver.process.kill()
            case "all workers":
                for worker in self._user.workers():
                    worker.kill()
            case _:
                self._lots.choice(self._user.workers()).kill()
        self.hits[what] += bool(self._unsaved(lease))
        if "driver" in what:
            self._kill_driver()
            self._driver = self._start()

    def finish(self) -> None:
        """Let the run come to its end."""
        assert self._driver.wait(timeout_s=600) == 0, self._driver.err

    def _kill_restoring(self) -> None:
        self._wait(lambda: checkpoints.newest(self._objects, RUN) is not None)
        self._kill_driver()
        left = self._restored()  # by workers that were killed before
        self._driver = self._start("--set", "scale.num_workers=1")
        self._wait(lambda: bool(self._user.workers()))
        [worker] = self._user.workers()  # found before: that takes longer than to restore
        self._wait(lambda: self._restored() > left, every_s=0.001)
        worker.kill()
        self.hits[RESTORES] += self._restored() > left
        self._kill_driver()
        self._driver = self._start()

    def _start(self, *more: str) -> Command:
        return self._user.start("eagleray", "train", str(self._job), "--storage", "storage", *more)

    def _kill_driver(self) -> None:
        self._driver.process.kill()
        assert wait_until(lambda: not self._user.left_over(), timeout_s=90), self._user.left_over()

    def _wait(self, is_there: Callable[[], bool], *, every_s: float = 0.2) -> None:
        def is_there_and_driven() -> bool:
            assert self._driver.process.poll() is None, self._driver.err
            return is_there()

        assert wait_until(is_there_and_driven, timeout_s=240, every_s=every_s), self._driver.err

    def _num_started(self) -> int:
        return len(disturbed.facts(self._objects, RUN, "started"))

    def _unsaved(self, lease: int) -> set[str]:
        """Checkpoints of an attempt that were begun and do not exist yet."""
        saved = {str(manifest.id) for manifest in checkpoints.list_manifests(self._objects, RUN)}
        return (self._written(lease) | disturbed.uploads(self._objects, RUN, lease=lease)) - saved

    def _written(self, lease: int) -> set[str]:
        """Checkpoints of an attempt that are being written on this machine, or were when their worker was killed."""
        return {folder.name for folder in self._scratch.glob(f"eagleray-*/0*-{lease:04d}")}

    def _restored(self) -> set[Path]:
        return set(self._scratch.glob("eagleray-*/restored/state"))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_fourteen_kills(user: Shell, scratch: Path, objects: Objects, wanted: FineTune, tmp_path: Path) -> None:
    expected = disturbed.undisturbed(wanted, tmp_path, num_workers=2)
    job = tmp_path / "job.yaml"
    job.write_text(dump(wanted), encoding="utf-8")
    lots = random.Random(SEED)
    victim = Victim(user, job, objects, scratch=scratch, lots=lots)

    for what in lots.sample(PLAN, len(PLAN)):
        victim.kill(what)
    victim.finish()

    missed = [what for what in (WRITES, UPLOADS, DRIVER_UPLOADS, RESTORES) if not victim.hits[what]]
    assert missed == []
    record = runs.read(objects, RUN)
    assert (record.phase, record.step) == ("succeeded", STEPS)
    assert {started["world_size"] for started in disturbed.facts(objects, RUN, "started")} == {2}
    expected.assert_same_weights(objects, RUN)
