"""The Ray cluster that a run uses: the one named by RAY_ADDRESS, or an embedded one on this machine."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray._private.state
import ray._private.worker
from ray.exceptions import RayError

from eagleray.errors import ClusterError, UserError
from eagleray.spec.scale import ScaleSpec
from eagleray.train import garbage
from eagleray.train.ray_environment import is_embedded

OBJECT_STORE_BYTES = 200 * 2**20
"""Training passes no data through the object store; Ray's default would take 30 % of the memory."""


@dataclass(frozen=True, slots=True)
class Node:
    """What one machine has."""

    num_cpus: float
    num_gpus: float


@dataclass(frozen=True, slots=True)
class Resources:
    """What a cluster has, node by node: a worker lives on one of them."""

    nodes: tuple[Node, ...]

    @property
    def num_cpus(self) -> float:
        """CPUs of all nodes."""
        return sum(node.num_cpus for node in self.nodes)

    @property
    def num_gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(node.num_gpus for node in self.nodes)

    @property
    def num_nodes(self) -> int:
        """Machines."""
        return len(self.nodes)

    def __str__(self) -> str:
        nodes = f"{self.num_nodes} node{'s' if self.num_nodes != 1 else ''}"
        return f"{self.num_cpus:g} CPUs and {self.num_gpus:g} GPUs on {nodes}"


@dataclass(frozen=True, slots=True)
class WorkerShape:
    """What each worker reserves, and how many threads it computes with."""

    num_cpus: float
    num_gpus: int

    @property
    def num_threads(self) -> int:
        """Threads of torch: what the worker owns, since two threads on one busy core are slower than one."""
        return max(1, math.floor(self.num_cpus))


def worker_shape(scale: ScaleSpec, *, embedded: bool) -> WorkerShape:
    """Return what each worker gets: the document's CPUs, or an even share of this machine, or 1 on a cluster."""
    share = max(1, (os.cpu_count() or 1) // scale.num_workers) if embedded else 1
    return WorkerShape(num_cpus=scale.cpus_per_worker or share, num_gpus=scale.gpus_per_worker)


def check_fits(scale: ScaleSpec, shape: WorkerShape, available: Resources, *, where: str) -> None:
    """Raise UserError where the workers can never all run at once."""
    most = num_fitting(shape, available)
    key, wanted = ("num_workers", scale.num_workers)
    if scale.min_workers is not None:
        key, wanted = ("min_workers", scale.min_workers)
    if wanted <= most:
        return
    cpus, gpus = wanted * shape.num_cpus, wanted * shape.num_gpus
    raise UserError(
        f"scale.{key}: {wanted} workers of {shape.num_cpus:g} CPUs and {shape.num_gpus} GPUs need "
        f"{cpus:g} CPUs and {gpus} GPUs, but {where} has {available}. "
        f"At most {most} such workers fit: lower scale.{key}, or what each takes (scale.cpus_per_worker, "
        "scale.gpus_per_worker)"
    )


def num_fitting(shape: WorkerShape, resources: Resources) -> int:
    """Return how many workers fit."""
    return sum(_num_fitting(shape, node) for node in resources.nodes)


def _num_fitting(shape: WorkerShape, node: Node) -> int:
    """How many workers one node holds. The summand: 3 workers of a third of a CPU fill one CPU."""
    fitting = int(node.num_cpus / shape.num_cpus + 1e-6)
    return min(fitting, int(node.num_gpus / shape.num_gpus)) if shape.num_gpus else fitting


def this_machine() -> Resources:
    """Return what an embedded Ray would have, without starting one."""
    num_gpus = sum(1 for device in Path("/dev").glob("nvidia*") if device.name.removeprefix("nvidia").isdigit())
    return Resources((Node(num_cpus=os.cpu_count() or 1, num_gpus=num_gpus),))


@contextmanager
def connected() -> Iterator[Resources]:
    """Connect to the cluster, or start one; on leaving disconnect, or end it.

    Ray's own chatter stays in its log files.

    Raises:
        ClusterError: the cluster at RAY_ADDRESS does not answer.
    """
    if ray.is_initialized():  # a caller's own session, as in tests: used and left alone
        yield resources()
        return
    try:
        _silence()
        _start() if is_embedded() else _connect()
    except (RayError, RuntimeError, OSError, ValueError) as error:
        place = "an embedded Ray could not start" if is_embedded() else f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}"
        raise ClusterError(f"{place}: {error}") from error
    try:
        yield resources()
    finally:
        ray.shutdown()


def resources() -> Resources:
    """Return what the connected cluster has."""
    found = [node["Resources"] for node in live_nodes()]
    return Resources(tuple(Node(num_cpus=has.get("CPU", 0.0), num_gpus=has.get("GPU", 0.0)) for has in found))


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


def _start() -> None:
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
        runtime_env={"worker_process_setup_hook": f"{garbage.__name__}.{garbage.collect_rarely.__name__}"},
    )


def _connect() -> None:
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
