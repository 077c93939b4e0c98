"""A storage that fills up while a run is on it: how the run ends, and that the same command goes on once there is room.

A file system of its own: what a disk that is really full takes of a write, and what it refuses, no fake shows.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from eagleray.spec.document import dump
from eagleray.store import runs
from eagleray.store.objects import open_storage
from eagleray.store.patience import GIVE_UP_AFTER_S
from tests.ray import disturbed
from tests.ray.disturbed import Undisturbed
from tests.ray.processes import shell, wait_until

RUN = "test-0001"
CLOSING_S = 40.0
"""For what comes after the patience has ended: the workers' last writes, the driver's, the end of Ray."""

# The mount is seen by what runs in here alone, and goes with it: what is on it at the end is copied out. What a write
# that failed gives back is filled again.
FILL_UP = """\
mount -t tmpfs -o size=64m tmpfs "$storage" || exit 99
"$@" 2>"$place/first.err" & command=$!
until ls "$storage"/runs/test-0001/checkpoints/*/manifest.json >/dev/null 2>&1; do
  kill -0 $command || exit 98
  sleep 0.1
done
(while :; do cat /dev/zero >>"$storage/filler" 2>/dev/null; sleep 0.1; done) & filling=$!
sleep 1
touch "$place/is-full"
wait $command
echo $? >"$place/first.code"
kill $filling
wait $filling 2>/dev/null
rm "$storage/filler"
"$@" && cp -r "$storage/." "$place/kept"
"""


@pytest.mark.slow  # the patience with a storage is two minutes
@pytest.mark.timeout(900)
def test_a_storage_that_fills_up(
    model_with_dropout: Path, reviews: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """One error within the patience, which names the storage and the way on; the same command then goes on exactly."""
    job, storage = tmp_path / "job.yaml", tmp_path / "storage"
    job.write_text(dump(disturbed.wanted(model_with_dropout, reviews)), encoding="utf-8")
    storage.mkdir()
    train = ("eagleray", "train", str(job), "--storage", str(storage))
    with shell(tmp_path, storage=str(storage), place=str(tmp_path)) as user:
        own_mounts = ("unshare", "--mount", "--map-root-user")
        if user.start(*own_mounts, "mount", "-t", "tmpfs", "tmpfs", str(storage)).wait() != 0:
            pytest.skip("no mount namespaces here")

        both = user.start(*own_mounts, "sh", "-c", FILL_UP, "sh", *train)

        assert wait_until((tmp_path / "is-full").exists, timeout_s=240), both.err
        began = time.monotonic()
        assert wait_until((tmp_path / "first.code").exists, timeout_s=500), _read(tmp_path / "first.err")
        took_s = time.monotonic() - began
        assert both.wait(timeout_s=240) == 0, both.err

    told = _read(tmp_path / "first.err")
    assert _read(tmp_path / "first.code").strip() == "1", told
    assert took_s < GIVE_UP_AFTER_S + CLOSING_S, told
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, told
    assert str(storage) in errors[0]
    assert "no space is left" in errors[0]
    assert told.rstrip().endswith("run the same command again to go on")
    objects = open_storage(str(tmp_path / "kept"))
    [restored] = disturbed.facts(objects, RUN, "restored")
    assert f"going on from the checkpoint of step {restored['step']}" in both.err
    assert restored["step"] < disturbed.TOTAL_STEPS, "it filled up too late to show anything"
    assert runs.read(objects, RUN).phase == "succeeded"
    undisturbed.assert_same_weights(objects, RUN)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
