"""A run whose workers are killed or stop answering ends as if nothing had been.

On a real Ray: who notices a dead worker, and how soon, is Ray's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from eagleray.store import checkpoints, paths
from eagleray.store.objects import Objects
from eagleray.train.watchdog import GRACE_S
from tests.ray import disturbed
from tests.ray.conftest import Drive
from tests.ray.disturbed import Undisturbed
from tests.ray.processes import WORKER, below_this_one
from tests.ray.watching import Watcher

RUN = "test-0001"
TIMEOUT_S = 5.0
ENDING_S = 15.0
"""What Ray Train takes to end a worker that does not answer."""
COLLECTIVE = re.compile(r'distributed_c10d\.py", line \d+ in (all_reduce|all_gather\w*|barrier)$', re.MULTILINE)
"""In a worker's stacks: what a group waits in depends on where the other was stopped."""


def test_a_killed_worker(
    drive: Drive, objects: Objects, model_with_dropout: Path, reviews: Path, undisturbed: Undisturbed
) -> None:
    killed: list[int] = []
    saved: list[int] = []

    def kill_one() -> None:
        victim, _ = below_this_one(WORKER)
        victim.kill()
        killed.append(victim.pid)
        saved.append(max((each.step for each in checkpoints.list_manifests(objects, RUN)), default=0))

    record = drive(disturbed.wanted(model_with_dropout, reviews), Watcher(at={50: kill_one}))

    assert (record.phase, record.step, record.restarts) == ("succeeded", disturbed.TOTAL_STEPS, 1)
    [restart] = disturbed.facts(objects, record.run, "restarted")
    assert restart["reason"] == "infrastructure"
    assert f"process {killed[0]} on " in restart["what"]
    [restored] = disturbed.facts(objects, record.run, "restored")
    assert restored["step"] >= saved[0]
    assert restored["step"] % disturbed.EVERY_STEPS == 0
    undisturbed.assert_same_weights(objects, record.run)


def test_a_worker_that_does_not_answer(
    drive: Drive, objects: Objects, model_with_dropout: Path, reviews: Path, undisturbed: Undisturbed
) -> None:
    """A stopped process cannot write down its stacks; the one that waits for it can, and both are named."""
    stopped: list[psutil.Process] = []

    def stop_one() -> None:
        stopped.append(below_this_one(WORKER)[0])
        stopped[0].suspend()

    wanted = disturbed.wanted(model_with_dropout, reviews, watchdog={"timeout_s": 10})
    watcher = Watcher(at={50: stop_one})

    record = drive(wanted, watcher)

    assert (record.phase, record.step, record.restarts) == ("succeeded", disturbed.TOTAL_STEPS, 1)
    [restart] = disturbed.facts(objects, record.run, "restarted")
    assert restart["reason"] == "hang"
    [silent] = restart["without_answer"]
    assert restart["first_behind"] == silent
    stacks = [
        objects.read(info.key).decode()
        for info in objects.list(paths.failures(record.run))
        if info.key.endswith(".txt")
    ]
    assert any(COLLECTIVE.search(each) for each in stacks), "\n".join(stacks)
    assert not stopped[0].is_running()
    undisturbed.assert_same_weights(objects, record.run)


@pytest.mark.slow  # waits as long as others would have had to speak first
def test_the_only_worker_does_not_answer(
    drive: Drive, objects: Objects, model_with_dropout: Path, reviews: Path, tmp_path: Path
) -> None:
    """It cannot watch over itself, and no other waits for it: the driver finds it."""
    stopped: dict[psutil.Process, datetime] = {}

    def stop_it() -> None:
        [worker] = below_this_one(WORKER)
        worker.suspend()
        stopped[worker] = datetime.now(UTC)

    wanted = disturbed.wanted(
        model_with_dropout,
        reviews,
        train={"epochs": 12},
        scale={"num_workers": 1},
        watchdog={"timeout_s": TIMEOUT_S},
    )
    expected = disturbed.undisturbed(wanted, tmp_path, num_workers=1)
    watcher = Watcher(at={30: stop_it})

    record = drive(wanted, watcher)

    assert (record.phase, record.restarts) == ("succeeded", 1)
    [restart] = [event for event in watcher.events if event.kind == "restarted"]
    [(worker, stopped_at)] = stopped.items()
    assert restart.fields["reason"] == "hang"
    assert restart.fields["what"].startswith(f"worker 0: process {worker.pid} on ")
    assert restart.fields["what"].endswith(" cannot answer")
    assert (restart.fields["first_behind"], restart.fields["without_answer"]) == (0, [0])
    assert TIMEOUT_S < (restart.at - stopped_at).total_seconds() < TIMEOUT_S + 2 * GRACE_S + ENDING_S
    assert not worker.is_running()
    expected.assert_same_weights(objects, record.run)
