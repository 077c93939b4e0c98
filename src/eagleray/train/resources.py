"""What does a cluster have, and how many workers fit there? Plain figures, that need no Ray to be reckoned with."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from eagleray.errors import UserError
from eagleray.spec.scale import ScaleSpec


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
