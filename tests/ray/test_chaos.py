"""A run whose processes are killed again and again, at moments chosen by lot, ends as if nothing had been.

Real processes, killed for real: what no fake foresees is what this looks for.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store import paths, runs
from eagleray.store.objects import Objects
from tests.ray import disturbed
from tests.ray.processes import CONTROLLER, Command, Shell, shell, wait_until

RUN = "test-0001"
STEPS = 1400
SEED = 2026

IN_TRAINING = ["worker", "driver", "controller"]
IN_SAVING = ["a worker that writes a checkpoint", "a worker that uploads one", "the driver during an upload"]
IN_RESTORING = "workers that restore, one in place of two"
PLAN = [*IN_TRAINING * 2, *IN_SAVING * 2, *[IN_RESTORING] * 2]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
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

    def __init__(self, user: Shell, job: Path, objects: Objects, lots: random.Random) -> None:
        self._user, self._job, self._objects, self._lots = user, job, objects, lots
        self._driver = self._start()
        self._num_seen = 0  # attempts that began to train
        self._left: set[Path] = set()  # what killed workers leave in their scratch folders

    def kill(self, what: str) -> None:
        """Wait for the moment, and kill."""
        if what == IN_RESTORING:
            self._kill_driver()
            self._left = self._restoring()
            self._driver = self._start("--set", "scale.num_workers=1")
            self._wait(lambda: self._restoring() > self._left, every_s=0.001)
            self._user.workers()[0].kill()
            self._kill_driver()
            self._driver = self._start()
            return
        self._wait(lambda: len(self._started()) > self._num_seen)
        self._num_seen = len(self._started())
        time.sleep(self._lots.uniform(0.0, 1.0))
        lease = disturbed.newest_lease(self._objects, RUN)
        match what:
            case "a worker that writes a checkpoint":
                self._wait(lambda: self._is_writing(lease), every_s=0.001)
            case "a worker that uploads one" | "the driver during an upload":
                self._wait(lambda: disturbed.is_uploading(self._objects, RUN, lease=lease), every_s=0.001)
        if "driver" in what:
            self._kill_driver()
            self._driver = self._start()
        elif "worker" in what:
            self._lots.choice(self._user.workers()).kill()
        else:
            [controller] = [each for each in self._user.left_over() if CONTROLLER in each.name()]
            controller.kill()

    def finish(self) -> None:
        """Let the run come to its end."""
        assert self._driver.wait(timeout_s=600) == 0, self._driver.err

    def _start(self, *more: str) -> Command:
        return self._user.start("eagleray", "train", str(self._job), "--storage", "storage", *more)

    def _kill_driver(self) -> None:
        self._driver.process.kill()
        assert wait_until(lambda: not self._user.left_over(), timeout_s=90), self._user.left_over()

    def _wait(self, is_there: Callable[[], bool], *, every_s: float = 0.2) -> None:
        def is_there_or_over() -> bool:
            assert self._driver.process.poll() is None, self._driver.err
            return is_there()

        assert wait_until(is_there_or_over, timeout_s=240, every_s=every_s), self._driver.err

    def _started(self) -> list[dict[str, object]]:
        return disturbed.facts(self._objects, RUN, "started") if self._objects.list(paths.events(RUN)) else []

    def _is_writing(self, lease: int) -> bool:
        return any((self._user.folder / "scratch").glob(f"eagleray-*/0*-{lease:04d}"))

    def _restoring(self) -> set[Path]:
        return set((self._user.folder / "scratch").glob("eagleray-*/restored/state"))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_fourteen_kills(user: Shell, objects: Objects, wanted: FineTune, tmp_path: Path) -> None:
    expected = disturbed.undisturbed(wanted, tmp_path, num_workers=2)
    job = tmp_path / "job.yaml"
    job.write_text(dump(wanted), encoding="utf-8")
    lots = random.Random(SEED)
    victim = Victim(user, job, objects, lots)
    killed: Counter[str] = Counter()

    for what in lots.sample(PLAN, len(PLAN)):
        victim.kill(what)
        killed[what] += 1
    victim.finish()

    assert killed.total() >= 12
    record = runs.read(objects, RUN)
    assert (record.phase, record.step) == ("succeeded", STEPS)
    worlds = [started["world_size"] for started in disturbed.facts(objects, RUN, "started")]
    assert set(worlds) == {2}
    expected.assert_same_weights(objects, RUN)
