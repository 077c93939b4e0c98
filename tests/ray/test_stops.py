"""A run that is asked to stop finishes its step, saves, and goes on later as if nothing had been.

On a real Ray: signals arrive while Ray waits, starts and ends, and it has handlers of its own.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from eagleray.errors import Interrupted, UserError
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, runs
from eagleray.store.objects import Objects
from eagleray.store.steps import read_steps
from tests.ray import disturbed
from tests.ray.conftest import Drive
from tests.ray.disturbed import Undisturbed
from tests.ray.watching import Watcher

RUN = "test-0001"


def test_no_step_is_lost(
    drive: Drive, objects: Objects, model_with_dropout: Path, reviews: Path, undisturbed: Undisturbed
) -> None:
    """Stopped by SIGTERM, then by Ctrl-C; in between another document is refused."""
    wanted = disturbed.wanted(model_with_dropout, reviews)

    first = _stopped(drive, wanted, signal.SIGTERM, at=30, objects=objects)
    with pytest.raises(UserError, match="would change its result") as told:
        drive(disturbed.wanted(model_with_dropout, reviews, train={"learning_rate": 2e-3, "epochs": 3}), Watcher())
    second = _stopped(drive, wanted, signal.SIGINT, at=130, objects=objects)
    record = drive(wanted, Watcher())

    assert told.value.exit_code == 2
    assert "train.learning_rate: 0.001 there, 0.002 here" in str(told.value)
    assert "train.epochs: 40 there, 3 here" in str(told.value)
    assert (record.run, record.phase, record.step) == (RUN, "succeeded", disturbed.TOTAL_STEPS)
    assert [restored["step"] for restored in disturbed.facts(objects, RUN, "restored")] == [first, second]
    assert disturbed.facts(objects, RUN, "restarted") == []
    undisturbed.assert_same_weights(objects, RUN)


def _stopped(drive: Drive, wanted: FineTune, number: int, *, at: int, objects: Objects) -> int:
    """Drive a run, and send this process a signal at a step; the step up to which it came, all of it saved."""
    with pytest.raises(Interrupted) as told:
        drive(wanted, Watcher(at={at: lambda: os.kill(os.getpid(), number)}))

    manifest = checkpoints.newest(objects, RUN)
    assert manifest is not None
    assert told.value.exit_code == 128 + number
    assert str(told.value) == (
        f"{RUN} was stopped after step {manifest.step}, which is saved: run the same command again to go on"
    )
    assert manifest.step == max(row["step"] for row in read_steps(objects, RUN))
    record = runs.read(objects, RUN)
    assert (record.phase, record.step) == ("stopped", manifest.step)
    return manifest.step
