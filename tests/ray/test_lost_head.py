"""The head of a cluster dies with all that runs on it; the same job, submitted to another head, loses nothing.

Real heads: what dies with one, and what is left of a job's driver and workers, is Ray's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eagleray.spec.document import dump
from eagleray.store import checkpoints, runs
from eagleray.store.objects import Objects
from tests.ray import disturbed, heads
from tests.ray.disturbed import Undisturbed
from tests.ray.processes import wait_until

RUN = "test-0001"


@pytest.fixture
def job(model_with_dropout: Path, reviews: Path, tmp_path: Path) -> Path:
    """A document with all that it names beside it."""
    folder = tmp_path / "project"
    shutil.copytree(model_with_dropout, folder / "model")
    shutil.copy(reviews, folder / "reviews.jsonl")
    wanted = disturbed.wanted(Path("./model"), Path("./reviews.jsonl"))
    (folder / "job.yaml").write_text(dump(wanted), encoding="utf-8")
    return folder / "job.yaml"


@pytest.mark.slow  # two heads, and a start of Ray Train on each
def test_the_head_dies_and_the_job_is_submitted_again(
    job: Path, objects: Objects, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    submit = ("eagleray", "submit", str(job), "--storage", str(tmp_path / "storage"))
    with heads.started(_folder(tmp_path, "first"), num_cpus=4) as first:
        submitted = first.start(*submit)
        is_saved = wait_until(lambda: checkpoints.newest(objects, RUN) is not None, timeout_s=240, every_s=0.05)
        assert is_saved, submitted.out + submitted.err

        first.die(but=submitted)

        assert submitted.wait(timeout_s=120) == 1, submitted.err
        last_line = submitted.err.splitlines()[-1]
        assert last_line.startswith("error: ")
        assert first.address in last_line
    saved = checkpoints.newest(objects, RUN)
    assert saved is not None
    assert saved.step < disturbed.TOTAL_STEPS, "it was killed too late to show anything"
    assert runs.read(objects, RUN).phase == "running"

    with heads.started(_folder(tmp_path, "second"), num_cpus=4) as second:
        again = second.start(*submit)
        assert again.wait(timeout_s=400) == 0, again.out + again.err

    assert [each["step"] for each in disturbed.facts(objects, RUN, "restored")] == [saved.step]
    assert (runs.read(objects, RUN).phase, runs.read(objects, RUN).step) == ("succeeded", disturbed.TOTAL_STEPS)
    undisturbed.assert_same_weights(objects, RUN)


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
