"""Drivers as processes of their own: killed, two at once, asleep. One drives a run at a time, and nothing is lost.

Real processes and a real Ray of each driver's own: what of it survives a SIGKILL of the driver is what matters here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from eagleray.spec.document import dump
from eagleray.store import checkpoints, paths, runs
from eagleray.store.objects import Objects
from tests.ray import disturbed
from tests.ray.disturbed import Undisturbed
from tests.ray.processes import Command, Shell, shell, wait_until

RUN = "test-0001"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path) as opened:
        yield opened


@pytest.fixture
def train(user: Shell, model_with_dropout: Path, reviews: Path) -> Callable[[], Command]:
    """Starts the same command each time."""
    job = user.folder / "job.yaml"
    job.write_text(dump(disturbed.wanted(model_with_dropout, reviews)), encoding="utf-8")
    return lambda: user.start("eagleray", "train", str(job), "--storage", "storage")


def test_two_kills(user: Shell, train: Callable[[], Command], objects: Objects, undisturbed: Undisturbed) -> None:
    """A worker in the middle of an upload, then the driver; and a second driver while the first one lives."""
    first = train()
    first.wait_for("training: step")
    frozen = user.workers()[0]
    frozen.suspend()  # so that the run does not end before the second driver has come

    second = train()

    assert second.wait() == 2, second.err
    assert second.err.splitlines()[-1] == (
        f"error: run {RUN} is being driven by process {first.process.pid} on {socket.gethostname()}, which gave a "
        "sign of life just now: wait for it, or stop it"
    )
    frozen.resume()
    assert wait_until(lambda: bool(disturbed.uploads(objects, RUN, lease=1)), timeout_s=60, every_s=0.001)
    user.workers()[0].kill()
    first.wait_for("restart, infrastructure")
    assert wait_until(lambda: _newest_lease(objects) == 2, timeout_s=120)

    first.process.kill()

    assert wait_until(lambda: not user.left_over(), timeout_s=60), user.left_over()
    again = train()
    assert again.wait() == 0, again.err
    assert "going on from the checkpoint of step" in again.err
    record = runs.read(objects, RUN)
    assert (record.phase, record.step, record.restarts) == ("succeeded", disturbed.TOTAL_STEPS, 1)
    undisturbed.assert_same_weights(objects, RUN)


def _newest_lease(objects: Objects) -> int:
    newest = checkpoints.newest(objects, RUN)
    return newest.lease if newest else 0


@pytest.mark.slow  # waits until a driver that gives no sign of life is taken for dead
def test_a_driver_that_was_asleep(
    user: Shell, train: Callable[[], Command], objects: Objects, undisturbed: Undisturbed
) -> None:
    """Its workers go on until they find that the run is another's; once awake it says so and writes nothing."""
    first = train()
    assert wait_until(lambda: _newest_lease(objects) == 1, timeout_s=120, every_s=0.05)
    workers = user.workers()
    psutil.Process(first.process.pid).suspend()  # alone: its workers go on
    workers[0].suspend()  # so that there is something left to do for the second

    second = train()
    second.wait_for("looking for 30 s whether it still does")
    second.wait_for("going on from the checkpoint of step", timeout_s=240)
    workers[0].resume()

    assert second.wait(timeout_s=240) == 0, second.err
    before = _stored(objects)
    psutil.Process(first.process.pid).resume()

    assert first.wait(timeout_s=60) == 1, first.err
    assert f"error: run {RUN} is driven by process {second.process.pid} on " in first.err.splitlines()[-1]
    assert "what had lease 1 must not write any more" in first.err.splitlines()[-1]
    assert wait_until(lambda: not user.left_over(), timeout_s=60), user.left_over()
    assert _stored(objects) == before
    assert runs.read(objects, RUN).phase == "succeeded"
    undisturbed.assert_same_weights(objects, RUN)


def _stored(objects: Objects) -> dict[str, bytes]:
    """What is there of the run, but for what is no part of its result: figures for a person to look at."""
    kept = (info.key for info in objects.list(paths.run(RUN)) if "/tensorboard/" not in info.key)
    return {key: objects.read(key) for key in kept}
