"""A Ray cluster as an administrator starts it by hand, with tokens on."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.ray.processes import Command, Shell, shell, wait_until
from tests.support.loopback import free_port

TOKEN = "a-token-of-the-tests-0123456789abcdef"
ON_NODE = (
    "--block",
    "--disable-usage-stats",
    "--object-store-memory=200000000",
    "--min-worker-port=0",  # any that is free: the default range is that of every other Ray on this machine
    "--max-worker-port=0",
)


@dataclass(frozen=True)
class Head:
    """A running head node."""

    shell: Shell
    address: str  # of the dashboard
    node_address: str  # what other nodes join
    temp_dir: Path

    def start(self, *arguments: str, **environment: str) -> Command:
        """Start a command as a user of the cluster who has its token."""
        return self.shell.start(*arguments, RAY_API_SERVER_ADDRESS=self.address, **environment)

    def status(self, job: str) -> str:
        """Ray's word for how a job is doing."""
        return str(self._ask(f"/api/jobs/{job}")["status"])

    def num_nodes(self) -> int:
        """Nodes that are up."""
        return len(
            self._ask("/api/v0/nodes?filter_keys=state&filter_predicates=%3D&filter_values=ALIVE")["data"]["result"][
                "result"
            ]
        )

    def die(self, *, but: Command) -> None:
        """Kill the head and all that runs on it at once; `but` is a user's command, on a machine of its own."""
        while left := [each for each in self.shell.left_over() if each.pid != but.process.pid]:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def _ask(self, path: str) -> Any:
        request = urllib.request.Request(self.address + path, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@contextmanager
def started(folder: Path, *, num_cpus: int) -> Iterator[Head]:
    """Start a head, and on leaving end what was started, process by process: `ray stop` would end every Ray here."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN, encoding="utf-8")
    temp_dir = Path(tempfile.mkdtemp(prefix="er-"))  # Ray's sockets lie in it: a path has room for 107 bytes
    port, dashboard, client = free_port(), free_port(), free_port()
    try:
        with shell(folder, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token)) as opened:
            head = Head(opened, f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}", temp_dir)
            ports = (f"--port={port}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}")
            where = ("--node-ip-address=127.0.0.1", "--dashboard-agent-listen-port=0", f"--temp-dir={temp_dir}")
            block = opened.start("ray", "start", "--head", f"--num-cpus={num_cpus}", *ports, *where, *ON_NODE)
            block.wait_for("Ray runtime started")
            assert wait_until(lambda: _is_open(dashboard), timeout_s=60), block.err
            yield head
    finally:
        shutil.rmtree(temp_dir, ignore_errors=True)


def job_of(command: Command) -> str:
    """The id of the job that `eagleray submit` has told of."""
    told = next(line for line in command.err.splitlines() if line.startswith("job "))
    return told.removeprefix("job ").split(";")[0]


def the_run(storage: Path) -> dict[str, object]:
    """The record of the only run on a storage."""
    [record] = storage.glob("runs/*/run.json")
    return dict(json.loads(record.read_text(encoding="utf-8")))


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
