"""Workers without Ray: processes in one gloo group that stay alive, so that torch and DeepSpeed are imported once."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

from eagleray.train.group import Group
from tests.support.loopback import free_port

PR_SET_PDEATHSIG = 1
PATIENCE_S = 15.0


class GlooWorkers:
    """`world_size` processes of one gloo group; `run` calls a function in all of them at once."""

    def __init__(self, world_size: int) -> None:
        context = multiprocessing.get_context("spawn")
        port = free_port()
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(world_size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, rank, world_size, port), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what `function(group, *arguments)` returns at each rank; raises the first failure.

        Ranks that wait in vain for one that failed are killed.
        """
        for pipe in self._pipes:
            pipe.send((function, arguments))
        answers: dict[int, Any] = {}
        while len(answers) < len(self._pipes):
            has_failed = any(failure is not None for _, failure in answers.values())
            waiting = [pipe for rank, pipe in enumerate(self._pipes) if rank not in answers]
            ready = connection.wait(waiting, timeout=PATIENCE_S if has_failed else None)
            if not ready:
                self.kill()
                break
            answers |= {self._pipes.index(pipe): pipe.recv() for pipe in ready}
        for rank, (value, failure) in answers.items():
            if failure is not None:
                raise AssertionError(f"rank {rank} failed:\n{failure}") from value
        return [answers[rank][0] for rank in range(len(self._pipes))]

    @property
    def is_alive(self) -> bool:
        """Whether it can be used again."""
        return all(process.is_alive() for process in self._processes)

    def kill(self) -> None:
        """End the processes at once."""
        for process in self._processes:
            process.kill()
            process.join()

    def close(self) -> None:
        """End the processes."""
        if not self.is_alive:
            self.kill()
            return
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(timeout=20)
            if process.is_alive():
                process.kill()


def _serve(pipe: Connection, rank: int, world_size: int, port: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a test that was killed leaves nobody training
    import torch  # after the spawn, so that the parent needs no torch for it

    from eagleray.train.group import gloo

    torch.set_num_threads(1)
    with gloo(rank=rank, world_size=world_size, port=port) as group:
        while (order := pipe.recv()) is not None:
            pipe.send(_answer(order, group))


def _answer(order: tuple[Callable[..., Any], tuple[Any, ...]], group: Group) -> tuple[Any, str | None]:
    function, arguments = order
    try:
        return function(group, *arguments), None
    except Exception as error:
        return error, traceback.format_exc()
