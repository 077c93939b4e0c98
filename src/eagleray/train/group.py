"""What the loop needs of a process group, the same for gloo, NCCL and a world of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class Group:
    """This process's place among the workers, and the few collectives that training uses."""

    rank: int
    world_size: int
    num_local: int  # workers on this node, this one among them
    device: torch.device
    node: str = ""  # Ray's id of the machine; empty without Ray
    side: Any = None  # a second process group, for one thread beside training

    @property
    def is_first(self) -> bool:
        """True in the one process that writes what all workers share."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the element-wise sum over all ranks, on the CPU."""
        if self.world_size == 1:
            return values.cpu()
        reduced = values.to(self.device, copy=True)
        dist.all_reduce(reduced)
        return reduced.cpu()

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            self.sum(torch.zeros(1, dtype=torch.float64))

    def exchange(self, value: Any) -> list[Any]:
        """Return the value of every rank, by rank."""
        return self._exchange(value, among=None)

    def exchange_beside(self, value: Any) -> list[Any]:
        """The same for the thread that uploads: it runs beside the collectives of training, in a group of its own."""
        return self._exchange(value, among=self.side)

    def _exchange(self, value: Any, *, among: Any) -> list[Any]:
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=among)
        return values


def current(*, num_local: int, device: torch.device, node: str = "") -> Group:
    """Return the group that torch.distributed was initialised with. Collective."""
    world_size = dist.get_world_size()
    side = dist.new_group(backend="gloo") if world_size > 1 else None
    return Group(rank=dist.get_rank(), world_size=world_size, num_local=num_local, device=device, node=node, side=side)


@contextmanager
def alone() -> Iterator[Group]:
    """Be a group of one, on the GPU that Ray gave this process, else on the CPU."""
    has_gpu = torch.cuda.is_available()
    os.environ.update(_environment(rank=0, world_size=1))
    store = dist.HashStore()  # type: ignore[attr-defined]  # torch documents it
    dist.init_process_group("nccl" if has_gpu else "gloo", store=store, rank=0, world_size=1)
    try:
        yield current(num_local=1, device=torch.device("cuda", 0) if has_gpu else torch.device("cpu"))
    finally:
        dist.destroy_process_group()


@contextmanager
def gloo(*, rank: int, world_size: int, port: int) -> Iterator[Group]:
    """Join a gloo group of processes on this machine: what tests and benchmarks use in place of Ray."""
    os.environ.update(_environment(rank=rank, world_size=world_size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=world_size, timeout=timedelta(minutes=5))
    try:
        yield current(num_local=world_size, device=torch.device("cpu"))
    finally:
        dist.destroy_process_group()


def _environment(*, rank: int, world_size: int) -> dict[str, str]:
    """What DeepSpeed looks for beside torch's group, of processes on one machine."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_RANK": str(rank),
        "LOCAL_SIZE": str(world_size),
    }
