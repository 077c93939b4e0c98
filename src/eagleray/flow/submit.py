"""A document as a job on a Ray cluster: uploaded, started, followed to its exit code."""

from __future__ import annotations

import asyncio
import os
import shlex
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from eagleray import logs
from eagleray.errors import ClusterError, UserError
from eagleray.flow import staging
from eagleray.spec.finetune import FineTune
from eagleray.spec.locations import check_holds_no_keys, check_outlives_job
from eagleray.store.scratch import scratch_directory

KNOCK_TIMEOUT_S = 10.0
"""How long a cluster may take to answer at all: Ray's client itself would wait for ever."""


def submit(document: FineTune, *, address: str, storage: str, until: str) -> str:
    """Upload the document with the local files it names, start `eagleray up` on the cluster, return the job's id.

    Raises:
        UserError: the storage is one that only the head node would see, or holds a key, or a file is missing.
        ClusterError: nothing answers at `address`, or it refuses.
    """
    for written in (storage, document.spec.storage or ""):  # the document is uploaded with its own
        check_holds_no_keys(written)
    check_outlives_job(storage)
    check_address(address)
    with scratch_directory("submit") as folder:
        staging.stage(document, folder)
        with _named(address):
            return _client(address).submit_job(
                entrypoint=shlex.join(
                    ["eagleray", "up", staging.DOCUMENT, "--storage", storage, "--until", until, *_log_format()]
                ),
                runtime_env={"working_dir": folder},
                metadata={"eagleray/name": document.metadata.name},
            )


def _log_format() -> list[str]:
    """The job writes its log as this process does."""
    return ["--log-format", "json"] if logs.active() else []


def follow(job: str, *, address: str, show: Callable[[str], None]) -> int:
    """Show a job's log until it ends and return its exit code. An interrupt leaves the job running."""
    with _named(address):
        client = _client(address)

        async def tail() -> None:
            async for lines in client.tail_job_logs(job):
                show(lines)

        asyncio.run(tail())
        return exit_code(job, client.get_job_info(job))


def exit_code(job: str, info: JobDetails) -> int:
    """Return the exit code of a job that has ended. Raises ClusterError where it has none of its own."""
    if info.status == JobStatus.SUCCEEDED:
        return 0
    if info.status == JobStatus.STOPPED:
        raise ClusterError(f"job {job} was stopped: the same command submits it again, and the run goes on")
    if info.status != JobStatus.FAILED:
        raise ClusterError(f"the log of job {job} broke off; the job goes on ({info.status})")
    if info.driver_exit_code is None or info.driver_exit_code <= 0:  # it never ran, or a signal ended it
        raise ClusterError(f"job {job} failed: {info.message}")
    return int(info.driver_exit_code)


def check_address(address: str) -> None:
    """Raise UserError for what is no URL: Ray's client would take it for a node to search for a cluster."""
    if address.startswith(("http://", "https://")):
        return
    raise UserError(f"--address {address} is no URL: give the one of the cluster's dashboard, as http://head:8265")


def _client(address: str) -> JobSubmissionClient:
    # Ray's client prefers this variable, and RAY_ADDRESS after it, to its own argument.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    _knock(address)
    return JobSubmissionClient(address)


def _knock(address: str) -> None:
    """Return once anything at all answers in time."""
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/api/version", timeout=KNOCK_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return  # an answer, as that a token is missing; Ray's client says more


@contextmanager
def _named(address: str) -> Iterator[None]:
    """Say of every failure of the cluster which cluster it was."""
    try:
        yield
    except BrokenPipeError:  # the reader of what is shown has gone
        raise
    except AuthenticationError as error:
        raise ClusterError(
            f"the Ray cluster at {address} refuses the token, or there is none: set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to the cluster's own"
        ) from error
    except urllib.error.URLError as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error.reason}") from error
    except (OSError, RuntimeError, ValueError, aiohttp.ClientError) as error:
        raise ClusterError(f"the Ray cluster at {address}: {error}") from error
