"""The only user of the Ray Train context: a Ray Train worker as a member of a process group."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch

from eagleray import logs
from eagleray.store import failures
from eagleray.store.objects import open_storage
from eagleray.train import garbage, group, session
from eagleray.train.assembly import Job


def work(config: dict[str, Any]) -> dict[str, Any]:
    """What Ray Train runs in each worker; returns the fields of an Outcome.

    `config` has `job` (the fields of a Job), `num_threads`, and `has_json_logs`: as the driver's are.
    """
    garbage.collect_as_usual()
    context = ray.train.get_context()
    job = Job(**config["job"])
    if config["has_json_logs"]:
        logs.begin(run=job.run, rank=context.get_world_rank())
    torch.set_num_threads(config["num_threads"])
    try:
        joined = group.current(
            num_local=context.get_local_world_size(),
            device=ray.train.torch.get_device(),
            node=ray.get_runtime_context().get_node_id(),
        )
        return asdict(session.run(job, joined))
    except Exception as error:
        failures.write(
            open_storage(job.storage, must_exist=True),
            job.run,
            failures.FailureRecord(
                attempt=job.lease,
                rank=context.get_world_rank(),
                kind=failure_kind(error),
                message=str(error) or repr(error),
                traceback=traceback.format_exc(),
                at=datetime.now(UTC),
            ),
        )
        raise


def failure_kind(error: Exception) -> str:
    """Return the name by which the driver knows what to do about an exception."""
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "OutOfMemory"
    return type(error).__name__
