"""What the loop needs of a process group, the same for gloo, NCCL and a world of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class Group:
    """This process's place among the workers, and the few collectives that training uses."""

    rank: int
    world_size: int
    num_local: int  # workers on this node, this one among them
    device: torch.device

    @property
    def is_first(self) -> bool:
        """True in the one process that writes what all workers share."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the element-wise sum over all ranks, on the CPU."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def min(self, value: int) -> int:
        """Return the smallest value of any rank."""
        return int(self._reduce(torch.tensor([value], dtype=torch.int64), dist.ReduceOp.MIN).item())

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            self.sum(torch.zeros(1, dtype=torch.float64))

    def _reduce(self, values: torch.Tensor, operation: dist.ReduceOp.RedOpType) -> torch.Tensor:
        if self.world_size == 1:
            return values.cpu()
        reduced = values.to(self.device, copy=True)
        dist.all_reduce(reduced, op=operation)
        return reduced.cpu()


def current(*, num_local: int, device: torch.device) -> Group:
    """Return the group that torch.distributed was initialised with."""
    return Group(rank=dist.get_rank(), world_size=dist.get_world_size(), num_local=num_local, device=device)


@contextmanager
def gloo(*, rank: int, world_size: int, port: int) -> Iterator[Group]:
    """Join a gloo group of processes on this machine: what tests and benchmarks use in place of Ray."""
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(world_size),
        LOCAL_RANK=str(rank),
        LOCAL_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    dist.init_process_group("gloo", rank=rank, world_size=world_size, timeout=timedelta(minutes=5))
    try:
        yield current(num_local=world_size, device=torch.device("cpu"))
    finally:
        dist.destroy_process_group()
