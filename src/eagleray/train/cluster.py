"""The Ray cluster that a run uses: the one named by RAY_ADDRESS, or an embedded one on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import ray
import ray._private.state
import ray._private.worker
from ray.exceptions import RayError

from eagleray.errors import ClusterError
from eagleray.train import garbage
from eagleray.train.ray_environment import is_embedded
from eagleray.train.resources import Node, Resources, WorkerShape, num_fitting

ACCELERATOR_BYTES = {
    name: gib * 2**30
    for name, gib in {
        "T4": 16, "L4": 24, "A10G": 24, "L40S": 48, "V100": 16, "A100-40G": 40, "A100-80G": 80, "H100": 80, "H200": 141
    }.items()
}  # fmt: skip
"""Of NVIDIA's data sheets, by Ray's names; V100: the smaller of two. Ray's plain A100 may be either: left out."""
_ACCELERATOR = "accelerator_type:"

OBJECT_STORE_BYTES = 200 * 2**20
"""Training passes no data through the object store; Ray's default would take 30 % of the memory."""


@contextmanager
def connected(*, trains: bool = True) -> Iterator[Resources]:
    """Connect to the cluster, or start one; on leaving disconnect, or end it.

    Ray's own chatter stays in its log files. One that is started and `trains` has Ray's dashboard, which Ray Train asks
    for its placement groups; it is nine processes and two seconds that an endpoint does without.

    Raises:
        ClusterError: the cluster at RAY_ADDRESS does not answer.
    """
    if ray.is_initialized():  # a caller's own session, as in tests: used and left alone
        yield resources()
        return
    try:
        _silence()
        _start(has_dashboard=trains) if is_embedded() else _connect()
    except (RayError, RuntimeError, OSError, ValueError) as error:
        place = "an embedded Ray could not start" if is_embedded() else f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}"
        raise ClusterError(f"{place}: {error}") from error
    try:
        yield resources()
    finally:
        ray.shutdown()


@contextmanager
def embedded(*, importing: Sequence[str], trains: bool = True) -> Iterator[None]:
    """Start an embedded Ray, which mostly waits for its processes, and import these modules meanwhile.

    A cluster at RAY_ADDRESS is left for later: it is asked when the document is known to be good. Modules of Ray are
    not among those to import, and nothing else is imported before they are there: of a module that is being imported,
    another thread may see a half.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import") as beside:
        imports = beside.submit(lambda: [import_module(name) for name in importing])
        with connected(trains=trains) if is_embedded() else nullcontext():
            imports.result()
            garbage.collect_as_usual()
            yield


def resources() -> Resources:
    """Return what the connected cluster has."""
    found = [node["Resources"] for node in live_nodes()]
    return Resources(tuple(Node(num_cpus=has.get("CPU", 0.0), num_gpus=has.get("GPU", 0.0)) for has in found))


def worker_bytes(shape: WorkerShape) -> int | None:
    """Return the memory that each worker may take where all that fit run; None for GPUs that nobody knows here."""
    if shape.num_gpus:
        known = [ACCELERATOR_BYTES[name] for name in accelerators() if name in ACCELERATOR_BYTES]
        return min(known, default=None)
    shares = []
    for node in live_nodes():
        has = node["Resources"]
        fitting = num_fitting(shape, Resources((Node(has.get("CPU", 0.0), 0.0),)))
        if fitting:
            shares.append(int(has.get("memory", 0) / fitting))
    return min(shares, default=None)


def accelerators() -> list[str]:
    """Return Ray's names of the GPUs of the connected cluster, as H100."""
    found = {key for node in live_nodes() for key in node["Resources"] if key.startswith(_ACCELERATOR)}
    return sorted(key.removeprefix(_ACCELERATOR) for key in found)


def free() -> Resources:
    """Return what no one uses of the connected cluster, without the nodes that are about to go."""
    left = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    going = draining()
    nodes = [has for node, has in left.items() if node not in going]
    return Resources(tuple(Node(num_cpus=has.get("CPU", 0.0), num_gpus=has.get("GPU", 0.0)) for has in nodes))


def draining() -> set[str]:
    """Return the ids of the nodes that will be taken away: what `ray.train.get_preemption_info` looks at, too.

    That one is a barrier of all workers, which no step can afford.
    """
    return set(ray._private.state.state.get_draining_nodes())


def live_nodes() -> list[dict[str, Any]]:
    """Return Ray's facts about the nodes that are up."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _silence() -> None:
    """Keep what Ray says about dead workers off the user's screen: `log_to_driver` does not cover it."""
    ray._private.worker._worker_logs_enabled = False


def _start(*, has_dashboard: bool) -> None:
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        include_dashboard=has_dashboard,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
        runtime_env={"worker_process_setup_hook": f"{garbage.__name__}.{garbage.collect_rarely.__name__}"},
    )


def _connect() -> None:
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
