"""The operator as users start it, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.fake_kubernetes import ApiServer
from tests.support.loopback import free_port


class OperatorProcess:
    """A replica."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def ask(self, path: str) -> str:
        """What it tells of itself."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> float:
        """A figure of it; 0 where there is none yet."""
        rows = dict(row.rsplit(" ", 1) for row in self.ask("/metrics").splitlines())
        return float(rows.get(name, 0))

    def is_ready(self) -> bool:
        """Whether it has looked at everything."""
        assert self.process.poll() is None, f"it ended with {self.process.returncode}"
        try:
            return self.ask("/readyz") == "ok\n"
        except (URLError, ConnectionError):
            return False

    def resident_bytes(self) -> int:
        """The memory that it holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (row,) = [row for row in text.splitlines() if row.startswith("VmRSS:")]
        return int(row.split()[1]) * 1024


@contextmanager
def started(server: ApiServer, folder: Path, *arguments: str, token: str = "operator") -> Iterator[OperatorProcess]:
    """A replica that has looked at everything; killed at the end where it does not leave."""
    port = free_port()
    config = server.kubeconfig(folder / f"kubeconfig-{port}", token=token)
    environment = {**os.environ, "KUBECONFIG": str(config), "EAGLERAY_OPERATOR_NAMESPACE": "default"}
    command = [sys.executable, "-m", "eagleray", "operator", "--health-port", str(port), *arguments]
    with (folder / f"operator-{port}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True)
    replica = OperatorProcess(process, port)
    try:
        wait(replica.is_ready, timeout_s=60)
        yield replica
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def wait(until: Callable[[], bool], *, timeout_s: float = 30.0, every_s: float = 0.02) -> float:
    """Wait for something to be so; returns how long that took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < timeout_s, f"not so after {timeout_s:g} s"
        time.sleep(every_s)
    return time.monotonic() - began
