"""A real S3-speaking server on loopback, and the environment that leads to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# Moto keeps what it has in the memory of its process: a server that is stopped and started there has it still.
_SERVER = """
import sys
from tests.support.moto_server import MotoServer
port = 0
for wanted in sys.stdin:
    if wanted == "open\\n":
        server = MotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        port = server.get_host_and_port()[1]
    else:
        server.stop()
    print(port, flush=True)
"""
_MISSING = "moto is not installed: pip install 'moto[s3,server]'"


@contextmanager
def served() -> Iterator[str]:
    """Run moto's server; yields its endpoint. Skips where moto is not installed, but fails under CI."""
    if not os.environ.get("CI"):
        pytest.importorskip("moto.server", reason=_MISSING)
    from tests.support.moto_server import MotoServer

    server = MotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class Server:
    """Moto's server in a process of its own, which can go away and come back with all it has."""

    def __init__(self) -> None:
        pytest.importorskip("moto.server", reason=_MISSING)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.endpoint = f"http://127.0.0.1:{self.open()}"

    def open(self) -> int:
        """Answer; on which port."""
        return self._tell("open")

    def close(self) -> None:
        """Refuse connections."""
        self._tell("close")

    def freeze(self) -> None:
        """Take connections and say nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Be gone for good."""
        self._process.kill()
        self._process.communicate()

    def _tell(self, wanted: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{wanted}\n")
        return int(self._process.stdout.readline())


def environment(endpoint: str) -> dict[str, str]:
    """The variables under which `s3://` leads to `endpoint`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }


def new_bucket(endpoint: str) -> str:
    """Create a bucket of a fresh name."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(f"{endpoint}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=10):
        return name
