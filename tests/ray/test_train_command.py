"""`eagleray train` as a process of its own, on an embedded Ray with tokens on: what it shows, and what it leaves."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec.document import dump
from eagleray.store import runs
from eagleray.store.objects import open_storage
from tests.ray.processes import Command, Shell, shell, wait_until
from tests.support import s3
from tests.support.training import document

PLAIN = re.compile(
    r"loading torch, transformers and Ray"
    r"|starting Ray on this machine"
    r"|[a-z]+ing [a-z ]+ [\d,]+"  # the preparation of the data
    r"|run test-0001"
    r"|starting 2 workers"
    r"|(preparing|training|evaluating|saving|done): step \d+/\d+.*"
)

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "planted-aws-7f3a9c",
    "HF_TOKEN": "planted-hub-7f3a9c",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-7f3a9c",
    "OPENAI_API_KEY": "planted-openai-7f3a9c",
}
PLANTED = re.compile(rb"planted-[a-z]+-7f3a9c")

FINISHING = "finishing the step and saving; Ctrl-C again stops at once"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path, **SECRETS) as opened:
        yield opened


@pytest.fixture
def job(model: Path, reviews: Path, tmp_path: Path) -> Path:
    return _write_job(tmp_path / "job.yaml", model, reviews)


def _write_job(path: Path, model: Path, reviews: Path, **sections: dict[str, Any]) -> Path:
    scale = {"num_workers": 2, "cpus_per_worker": 0.5, "zero": {"stage": 2}}
    path.write_text(dump(document(model, reviews, scale=scale, **sections)), encoding="utf-8")
    return path


def test_a_run(user: Shell, job: Path) -> None:
    command = user.start("eagleray", "train", str(job), "--storage", "runs", "--json")

    assert command.wait() == 0, command.err
    record = json.loads(command.out)
    assert (record["run"], record["phase"]) == ("test-0001", "succeeded")
    assert runs.read(open_storage(str(user.folder / "runs")), "test-0001").model_dump(mode="json") == record
    strange = [line for line in _without_report(command.err) if not PLAIN.fullmatch(line)]
    assert strange == []
    assert not (user.folder / "home" / ".ray").exists(), "a token was written for ever"
    assert _with_secrets(user.folder, Path(os.environ["EAGLERAY_CACHE"])) == []
    assert wait_until(lambda: not user.left_over()), user.left_over()


def test_an_interrupt(user: Shell, model: Path, reviews: Path) -> None:
    command = _started(user, model, reviews)

    command.interrupt()

    assert command.wait(timeout_s=60) == 130, command.err
    *before, last = _without_report(command.err)
    assert re.fullmatch(
        r"error: test-0001 was stopped after step \d+, which is saved: run the same command again to go on", last
    )
    assert [line for line in before if not PLAIN.fullmatch(line)] == [FINISHING]
    assert command.out == ""
    _assert_stopped(user)


def test_a_second_interrupt(user: Shell, model: Path, reviews: Path) -> None:
    """Someone whose step does not end presses Ctrl-C again."""
    command = _started(user, model, reviews)
    user.workers()[0].suspend()
    command.interrupt()
    command.wait_for(FINISHING)

    command.interrupt()

    assert command.wait(timeout_s=60) == 130, command.err
    *_, last = command.err.splitlines()
    assert last == "error: test-0001 was stopped at once: run the same command again to go on"
    _assert_stopped(user)


def _started(user: Shell, model: Path, reviews: Path) -> Command:
    """A command whose run has begun to train, and would for long."""
    job = _write_job(user.folder / "job.yaml", model, reviews, train={"epochs": 1000})
    command = user.start("eagleray", "train", str(job), "--storage", "runs")
    command.wait_for("training: step")
    shown = [process.cmdline() for process in user.left_over()]
    assert len(shown) > 3
    assert not [line for line in shown if PLANTED.search(" ".join(line).encode())], "any user of the machine sees these"
    return command


def _with_secrets(*folders: Path) -> list[Path]:
    """Files below the folders that hold a planted secret, records and reports, logs and caches alike."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 20
    return [file for file in files if PLANTED.search(file.read_bytes())]


def _assert_stopped(user: Shell) -> None:
    record = runs.read(open_storage(str(user.folder / "runs")), "test-0001")
    assert record.phase == "stopped"
    assert record.ended_at is not None
    assert wait_until(lambda: not user.left_over()), user.left_over()


def test_more_workers_than_cpus(user: Shell, job: Path) -> None:
    many = ("--set", "scale.num_workers=900", "--set", "train.global_batch_size=900")

    command = user.start("eagleray", "train", str(job), "--storage", "runs", *many)

    assert command.wait(timeout_s=30) == 2
    assert "error: scale.num_workers: 900 workers" in command.err
    assert "starting Ray" not in command.err
    assert list((user.folder / "runs").iterdir()) == []


@pytest.mark.slow  # the same run on another storage, and what its workers inherit
def test_on_s3(job: Path, tmp_path: Path) -> None:
    with s3.served() as endpoint, shell(tmp_path, **s3.environment(endpoint)) as user:
        storage = f"s3://{s3.new_bucket(endpoint)}/team"
        trained = user.start("eagleray", "train", str(job), "--storage", storage, "--quiet", "--json")
        assert trained.wait() == 0, trained.err
        assert trained.err == ""
        shown = user.start("eagleray", "runs", "show", "test-0001", "--storage", storage, "--json")
        assert shown.wait() == 0, shown.err
        facts = json.loads(shown.out)
    assert facts["phase"] == "succeeded"
    assert facts["checkpoints"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow  # a disk can only be filled for real
def test_a_full_disk(job: Path, tmp_path: Path, user: Shell) -> None:
    storage = tmp_path / "small"
    storage.mkdir()
    mount = f"mount -t tmpfs -o size=100k tmpfs '{storage}'"
    if user.start("unshare", "--mount", "--map-root-user", "sh", "-c", mount).wait() != 0:
        pytest.skip("no mount namespaces here")
    train = f"{mount} && eagleray train '{job}' --storage '{storage}'; code=$?; find '{storage}'; exit $code"

    command = user.start("unshare", "--mount", "--map-root-user", "sh", "-c", train)

    assert command.wait() == 1, command.err
    error = command.err.splitlines()[-1]
    assert error.startswith(f"error: {storage}: cannot write runs/test-0001/")
    assert "no space is left" in error
    assert "manifest.json" not in command.out, "a checkpoint that is not whole"
    assert "test-0001/model" not in command.out


def _without_report(err: str) -> list[str]:
    """The lines but those of the data report, which stands between the preparation and the run's id."""
    return re.sub(r"^split .*?(?=^run )", "", err, flags=re.DOTALL | re.MULTILINE).splitlines()
