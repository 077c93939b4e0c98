"""A node that joins the session's Ray cluster, is taken away with notice, or dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from tests.ray.heads import ON_NODE
from tests.ray.processes import WORKER, Shell, below_this_one, shell, wait_until


class SecondNode:
    """Processes of a raylet on this machine, which Ray takes for another one."""

    def __init__(self, opened: Shell) -> None:
        self._shell = opened
        self._address = ray.get_runtime_context().gcs_address

    def join(self, *, num_cpus: int) -> None:
        """Start it and wait until the cluster knows it."""
        where = (f"--address={self._address}", "--dashboard-agent-listen-port=0", f"--num-cpus={num_cpus}")
        self._shell.start("ray", "start", *where, *ON_NODE)
        assert wait_until(lambda: self.id != "", timeout_s=120)

    @property
    def id(self) -> str:
        """Ray's name for it; empty where it is not up."""
        here = ray.get_runtime_context().get_node_id()
        return next((node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here), "")

    def drain(self) -> None:
        """Give notice, as a cloud that will take the machine away in a minute."""
        why = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot", "--deadline-remaining-seconds=60")
        drain = self._shell.start("ray", "drain-node", f"--address={self._address}", f"--node-id={self.id}", *why)
        assert drain.wait() == 0, drain.err

    def kill(self) -> None:
        """Take it away at once with all that runs on it."""
        while left := self._shell.left_over():
            for process in left:
                process.kill()


@contextmanager
def possible(folder: Path) -> Iterator[SecondNode]:
    """A node that may join; on leaving it is killed, and the cluster knows it."""
    with shell(folder, RAY_AUTH_MODE="disabled") as opened:
        node = SecondNode(opened)
        try:
            yield node
        finally:
            node.kill()
    assert wait_until(lambda: node.id == "", timeout_s=90), "the cluster does not notice that the node is gone"


class Pauses:
    """Lets things happen to the cluster while training stands still: how fast this machine trains is no matter then."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._begun: list[Future[Any]] = []

    def begin(self, act: Callable[[], object], *, until: Callable[[], bool]) -> None:
        """Stop a worker, act, wait, let the worker go on; all of it beside the caller."""
        self._begun.append(self._threads.submit(self._pause, act, until))

    def check(self) -> None:
        """Raise what went wrong in one."""
        for pause in self._begun:
            pause.result()

    def _pause(self, act: Callable[[], object], until: Callable[[], bool]) -> None:
        stopped = below_this_one(WORKER)[0]
        stopped.suspend()
        try:
            act()
            assert wait_until(until, timeout_s=60)
        finally:
            stopped.resume()


@contextmanager
def pauses() -> Iterator[Pauses]:
    """Pauses of one test."""
    with ThreadPoolExecutor() as threads:
        opened = Pauses(threads)
        yield opened
        opened.check()
