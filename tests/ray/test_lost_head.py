"""The head of a cluster dies with all that runs on it; the same job, submitted to another head, loses nothing.

Real heads: what dies with one, and what is left of a job's driver and workers, is Ray's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, runs, sweeps
from eagleray.store.objects import Objects
from tests.ray import disturbed, heads
from tests.ray.disturbed import Undisturbed
from tests.ray.processes import wait_until
from tests.support.training import document

RUN = "test-0001"
EVERY_STEPS = 70  # of a trial's evaluations
MODEL, REVIEWS = Path("./model"), Path("./reviews.jsonl")


@pytest.fixture
def project(model_with_dropout: Path, reviews: Path, tmp_path: Path) -> Path:
    """A folder with all that a document there names."""
    folder = tmp_path / "project"
    shutil.copytree(model_with_dropout, folder / MODEL)
    shutil.copy(reviews, folder / REVIEWS)
    return folder


@pytest.mark.slow  # two heads, and a start of Ray Train on each
def test_the_head_dies_and_the_job_is_submitted_again(
    project: Path, objects: Objects, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    job = _job(project, disturbed.wanted(MODEL, REVIEWS))
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


@pytest.mark.slow  # two heads
def test_the_head_of_a_sweep_dies(project: Path, objects: Objects, tmp_path: Path) -> None:
    """What was finished stays, what was under way goes on from what it had saved, and nothing is tried twice."""
    _job(project, _two_trials())
    search = ("eagleray", "sweep", "job.yaml", "--storage", str(tmp_path / "storage"))
    submit = ("ray", "job", "submit", "--working-dir", str(project), "--", *search)
    with heads.started(_folder(tmp_path, "first"), num_cpus=4) as first:
        submitted = first.start(*submit)
        submitted.wait_for("trial 1:", timeout_s=240)
        assert wait_until(lambda: _saved_step(objects) >= EVERY_STEPS, timeout_s=120, every_s=0.05), submitted.out
        saved_step = _saved_step(objects)

        first.die(but=submitted)

        assert submitted.wait(timeout_s=120) != 0
    before = _trials(objects)
    assert (before[0].state, before[1].state) == ("finished", "running")

    with heads.started(_folder(tmp_path, "second"), num_cpus=4) as second:
        again = second.start(*submit)
        assert again.wait(timeout_s=400) == 0, again.out + again.err

    finished, resumed = _trials(objects)
    assert finished == before[0]
    assert (resumed.state, len(resumed.lives)) == ("finished", 2)
    assert resumed.lives[1].first_step >= saved_step
    assert runs.read(objects, RUN).phase == "succeeded"


def _two_trials() -> FineTune:
    """One after another, 420 steps each."""
    return document(
        MODEL,
        REVIEWS,
        train={"epochs": 60, "evaluate_every_steps": EVERY_STEPS},
        scale={"cpus_per_worker": 0.5},
        sweep={
            "search": {"type": "grid"},
            "scheduler": {"type": "fifo"},
            "space": {"train.learning_rate": {"grid": [1.0e-3, 1.0e-4]}},
            "objectives": [{"metric": "loss", "mode": "min"}],
            "max_concurrent": 1,
        },
    )


def _trials(objects: Objects) -> tuple[sweeps.Trial, ...]:
    return tuple(sweeps.read(events.read_events(objects, RUN)).trials)


def _saved_step(objects: Objects) -> int:
    """Of the newest checkpoint of the second trial."""
    trials = sweeps.open_trials(objects.uri, RUN)
    saved = [checkpoints.newest(trials, each.run) for each in runs.list_runs(trials) if each.name == "trial-1"]
    return max((manifest.step for manifest in saved if manifest is not None), default=0)


def _job(project: Path, wanted: FineTune) -> Path:
    job = project / "job.yaml"
    job.write_text(dump(wanted), encoding="utf-8")
    return job


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
