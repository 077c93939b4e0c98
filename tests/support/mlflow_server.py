"""A real MLflow tracking server on this machine, on sqlite."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

COMMAND = os.environ.get("EAGLERAY_MLFLOW", "")
"""MLflow's own command, from an environment of its own: the client that eagleray uses comes without the server."""


class Server:
    """A server that can be killed and started again with what it knows."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        store = f"sqlite:///{self._directory}/mlflow.db"
        where = ["--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        artifacts = ["--artifacts-destination", str(self._directory / "artifacts")]
        with (self._directory / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, "server", "--backend-store-uri", store, *artifacts, *where],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < deadline, (self._directory / "mlflow.log").read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        """End it and its workers at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.uri}/health", timeout=5) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def started(directory: Path) -> Iterator[Server]:
    """A server until the context is left."""
    if not COMMAND or shutil.which(COMMAND) is None:
        reason = "EAGLERAY_MLFLOW names no `mlflow` command that could serve"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    server = Server(directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()
