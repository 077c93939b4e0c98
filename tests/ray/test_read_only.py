"""A storage that turns read-only while a run is on it: how the run ends, and that the same command goes on with it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from eagleray.spec.document import dump
from eagleray.store import checkpoints, runs
from eagleray.store.objects import open_storage
from eagleray.store.patience import GIVE_UP_AFTER_S
from tests.ray import disturbed
from tests.ray.disturbed import Undisturbed
from tests.ray.processes import shell, wait_until

CLOSING_S = 40.0
"""For what comes after the patience has ended: the workers' last writes, the driver's, the end of Ray."""

# A mount of its own, seen by nobody else: for the test the directory stays as it is. Refused as long as a file is
# open for writing.
RUN_READ_ONLY = """\
mount --bind "$storage" "$storage" || exit 99
"$@" & command=$!
until ls "$storage"/runs/test-0001/checkpoints/*/manifest.json >/dev/null 2>&1; do
  kill -0 $command || exit 98
  sleep 0.1
done
until mount -o remount,bind,ro "$storage" 2>/dev/null; do sleep 0.01; done
touch "$storage/../is-read-only"
wait $command
"""


@pytest.mark.slow  # the patience with a storage is two minutes
@pytest.mark.timeout(600)
def test_a_storage_that_turns_read_only(
    model_with_dropout: Path, reviews: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """One error within the patience, which names the storage and the way on; the same command then goes on exactly."""
    job, storage = tmp_path / "job.yaml", tmp_path / "storage"
    job.write_text(dump(disturbed.wanted(model_with_dropout, reviews)), encoding="utf-8")
    storage.mkdir()
    train = ("eagleray", "train", str(job), "--storage", str(storage))
    with shell(tmp_path, storage=str(storage)) as user:
        if user.start("unshare", "--mount", "--map-root-user", "mount", "--bind", *[str(storage)] * 2).wait() != 0:
            pytest.skip("no mount namespaces here")

        failed = user.start("unshare", "--mount", "--map-root-user", "sh", "-c", RUN_READ_ONLY, "sh", *train)

        assert wait_until((tmp_path / "is-read-only").exists, timeout_s=120), failed.err
        began = time.monotonic()
        assert failed.wait(timeout_s=500) == 1, failed.err
        took_s = time.monotonic() - began
        assert took_s < GIVE_UP_AFTER_S + CLOSING_S, failed.err
        errors = [line for line in failed.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, failed.err
        assert str(storage) in errors[0]
        assert "the file system is read-only" in errors[0]
        assert failed.err.rstrip().endswith("run the same command again to go on")
        objects = open_storage(str(storage))
        saved = checkpoints.newest(objects, "test-0001")
        assert saved is not None

        went_on = user.start(*train)

        assert went_on.wait() == 0, went_on.err
        assert f"going on from the checkpoint of step {saved.step}" in went_on.err
    assert runs.read(objects, "test-0001").phase == "succeeded"
    undisturbed.assert_same_weights(objects, "test-0001")
