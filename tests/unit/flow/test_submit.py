"""What is refused before a job exists, and what the end of a job means."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from eagleray.errors import ClusterError, UserError
from eagleray.flow import submit
from eagleray.spec import document, locations
from tests.support import documents


@pytest.mark.parametrize(
    "storage",
    ["s3://bucket/prefix", "gs://bucket", "az://container", "file:///mnt/runs", "/mnt/runs"],
)
def test_a_storage_that_every_node_may_see(storage: str) -> None:
    locations.check_outlives_job(storage)


@pytest.mark.parametrize("storage", ["./runs", "runs", "../runs", "~/runs"])
def test_a_relative_storage(storage: str) -> None:
    with pytest.raises(UserError, match=r"is relative: .*\(s3://bucket/prefix"):
        locations.check_outlives_job(storage)


@pytest.mark.parametrize("own", [True, False], ids=["document", "option"])
def test_a_storage_with_a_key_is_not_uploaded(own: bool) -> None:
    signed, plain = "az://c@acc/x?sig=verysecret", "/mnt/runs"
    made_from = document.loads(documents.text(storage=signed if own else plain), source="test").document

    with pytest.raises(UserError, match="must hold no keys"):
        submit.submit(made_from, address="http://head:8265", storage=plain if own else signed, until="verify")


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "auto", "ray://head:10001"])
def test_an_address_that_is_no_url(address: str) -> None:
    with pytest.raises(UserError, match=r"no URL: .* http://head:8265"):
        submit.check_address(address)


def test_nothing_at_the_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # set by the call; taken back after the test
    (tmp_path / "train.jsonl").write_text("", encoding="utf-8")
    text = documents.text(data=f"{{train: {tmp_path / 'train.jsonl'}}}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Ray cluster answers at {address}: .*refused"):
            submit.submit(
                document.loads(text, source="test").document, address=address, storage="/mnt/runs", until="verify"
            )


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 1, 1),
        (JobStatus.FAILED, 2, 2),
        (JobStatus.STOPPED, None, "job raysubmit_1 was stopped"),
        (JobStatus.FAILED, None, "job raysubmit_1 failed: no room"),
        (JobStatus.FAILED, -9, "job raysubmit_1 failed: no room"),
        (JobStatus.RUNNING, None, "the job goes on"),
    ],
    ids=["done", "failed", "user error", "stopped", "never ran", "killed", "log broke off"],
)
def test_exit_code(status: JobStatus, code: int | None, expected: int | str) -> None:
    details = JobDetails(
        type=JobType.SUBMISSION,
        job_id=None,
        submission_id="raysubmit_1",
        driver_info=None,
        status=status,
        entrypoint="eagleray up document.yaml",
        message="no room",
        driver_exit_code=code,
    )
    if isinstance(expected, int):
        assert submit.exit_code("raysubmit_1", details) == expected
        return
    with pytest.raises(ClusterError, match=expected):
        submit.exit_code("raysubmit_1", details)
