"""Jobs on a cluster that was started by hand with tokens on: `ray job submit` and `eagleray submit`.

On real Ray: uploads, tokens, the environment of a job and its exit code are all Ray's.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec.document import dump
from tests.ray import heads
from tests.ray.heads import Head
from tests.ray.processes import shell, wait_until
from tests.support.loopback import ask, free_port
from tests.support.training import document


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with heads.started(tmp_path_factory.mktemp("head"), num_cpus=4) as running:
        yield running


@pytest.fixture
def project(model: Path, reviews: Path, tmp_path: Path) -> Path:
    """A folder with a document and, beside it, all that it names."""
    folder = tmp_path / "project"
    shutil.copytree(model, folder / "model")
    shutil.copy(reviews, folder / "reviews.jsonl")
    _write_job(folder)
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def _write_job(folder: Path, **sections: dict[str, Any]) -> Path:
    """A document with relative paths."""
    scale = {"num_workers": 2, "cpus_per_worker": 0.5, "zero": {"stage": 2}}
    wanted = document(Path("./model"), Path("./reviews.jsonl"), **{"scale": scale, **sections})
    job = folder / "job.yaml"
    job.write_text(dump(wanted), encoding="utf-8")
    return job


def test_ray_job_submit(head: Head, project: Path, storage: Path) -> None:
    train = ("eagleray", "train", "job.yaml", "--storage", str(storage))

    command = head.start("ray", "job", "submit", "--working-dir", str(project), "--", *train)

    assert command.wait() == 0, command.out + command.err
    assert heads.the_run(storage)["phase"] == "succeeded"
    assert "run test-0001" in command.out
    assert "predict with it: eagleray predict test-0001" in command.out


@pytest.mark.slow  # one start of Ray Train more, for a warning
def test_ray_job_submit_without_a_storage(head: Head, project: Path) -> None:
    command = head.start("ray", "job", "submit", "--working-dir", str(project), "--", "eagleray", "train", "job.yaml")

    assert command.wait() == 0, command.out + command.err
    assert "warning: storage " in command.out
    assert "lies in the job's temporary folder" in command.out
    assert not (project / "runs").exists()


@pytest.mark.slow  # one start of actors more
def test_a_sweep_by_ray_job_submit(head: Head, project: Path, storage: Path) -> None:
    space = {"train.learning_rate": {"grid": [1.0e-3, 1.0e-5]}}
    sweep = {"space": space, "search": {"type": "grid"}, "scheduler": {"type": "fifo"}}
    _write_job(project, sweep=sweep, scale={"num_workers": 1, "cpus_per_worker": 0.5})
    search = ("eagleray", "sweep", "job.yaml", "--storage", str(storage), "--json")

    command = head.start("ray", "job", "submit", "--working-dir", str(project), "--", *search)

    assert command.wait() == 0, command.out + command.err
    assert heads.the_run(storage)["phase"] == "succeeded"
    assert '"end_reason": "every configuration of the space was tried"' in command.out


def test_submit_returns_the_exit_code_of_the_job(head: Head, project: Path, storage: Path) -> None:
    rows = [json.loads(line) for line in (project / "reviews.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps({"words": row["text"], "label": row["label"]}) + "\n" for row in rows]
    (project / "reviews.jsonl").write_text("".join(lines), encoding="utf-8")

    command = head.start("eagleray", "submit", str(project / "job.yaml"), "--storage", str(storage))

    assert command.wait() == 2, command.err
    assert "column" in command.out
    assert "Traceback" not in command.out + command.err
    assert head.status(heads.job_of(command)) == "FAILED"
    assert list(storage.iterdir()) == []


@pytest.mark.slow  # trains, and starts Ray Serve
def test_submit_leaves_an_endpoint(head: Head, project: Path, storage: Path, tmp_path: Path) -> None:
    """It outlives its job, and the same job finds nothing more to do."""
    port = free_port()
    _write_job(project, promote={"alias": "champion"}, endpoint={"port": port})
    submit = ("eagleray", "submit", str(project / "job.yaml"), "--storage", str(storage))

    first = head.start(*submit)

    assert first.wait() == 0, first.out + first.err
    key = next(line for line in first.out.splitlines() if line.startswith("er_"))
    answers = [ask(port, "/v1/predict", body={"inputs": "a joy to watch"}, key=key)]
    again = head.start(*submit)
    assert again.wait() == 0, again.out + again.err
    told = [line.partition(":")[0].split() for line in again.out.splitlines()]
    for step in ("data", "train", "evaluate", "register", "gate", "promote", "deploy"):
        assert [step, "already", "there"] in told
    answers.append(ask(port, "/v1/predict", body={"inputs": "a joy to watch"}, key=key))
    assert [(status, answer["version"]) for status, answer in answers] == [(200, 1), (200, 1)]
    ended = head.start("serve", "shutdown", "--yes", "--address", head.address)
    assert ended.wait() == 0, ended.err


@pytest.mark.slow  # one start of Ray Train more
def test_submit_without_waiting(head: Head, project: Path, storage: Path) -> None:
    command = head.start("eagleray", "submit", str(project / "job.yaml"), "--storage", str(storage), "--no-wait")

    assert command.wait(timeout_s=60) == 0, command.err
    job = command.out.strip()
    assert f"ray job logs --follow --address {head.address} {job}" in command.err
    assert wait_until(lambda: head.status(job) == "SUCCEEDED", timeout_s=120), head.status(job)
    assert heads.the_run(storage)["phase"] == "succeeded"


@pytest.mark.slow  # one start of Ray Train more
def test_an_interrupt_detaches_and_a_stop_stops(head: Head, project: Path, storage: Path) -> None:
    job = _write_job(project, train={"epochs": 1000})
    command = head.start("eagleray", "submit", str(job), "--storage", str(storage))
    command.wait_for("training: step")

    command.interrupt()

    assert command.wait(timeout_s=30) == 130, command.err
    job_id = heads.job_of(command)
    _, goes_on, to_stop = command.err.strip().splitlines()[-3:]
    assert goes_on == (f"the job goes on; to follow it again: ray job logs --follow --address {head.address} {job_id}")
    assert to_stop == f"to stop it: ray job stop --address {head.address} {job_id}"
    assert head.status(job_id) == "RUNNING"
    assert heads.the_run(storage)["phase"] == "running"

    stopped = head.start(*to_stop.removeprefix("to stop it: ").split())

    assert stopped.wait() == 0, stopped.err
    assert head.status(job_id) == "STOPPED"
    assert heads.the_run(storage)["phase"] == "stopped"


@pytest.mark.parametrize(
    "given",
    [{"RAY_AUTH_TOKEN": "not-the-token-0123456789abcdef012345"}, {"RAY_AUTH_MODE": "disabled"}],
    ids=["wrong", "none"],
)
def test_a_refused_token(head: Head, project: Path, storage: Path, given: dict[str, str], tmp_path: Path) -> None:
    with shell(tmp_path, **{"RAY_AUTH_MODE": "token", **given}) as stranger:
        submit = ("eagleray", "submit", str(project / "job.yaml"), "--storage", str(storage))
        command = stranger.start(*submit, "--address", head.address)
        assert command.wait(timeout_s=60) == 1, command.err
    assert command.err.splitlines() == [
        f"error: the Ray cluster at {head.address} refuses the token, or there is none: set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to the cluster's own"
    ]


@pytest.mark.slow  # waits for a time limit
def test_an_address_that_is_silent(project: Path, storage: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    with socket.socket() as listener, shell(tmp_path) as user:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        submit = ("eagleray", "submit", str(project / "job.yaml"), "--storage", str(storage))
        command = user.start(*submit, "--address", address)
        assert command.wait(timeout_s=60) == 1, command.err
    assert time.monotonic() - started < 25
    assert command.err.splitlines() == [f"error: the Ray cluster at {address}: timed out"]
