"""A real `eagleray serve` in a process of its own, and a caller."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

from tests.support.loopback import free_port

EAGLERAY = Path(sys.executable).parent / "eagleray"
READY_S = 120.0


@dataclass(frozen=True)
class Served:
    """An endpoint that answers."""

    process: subprocess.Popen[bytes]
    port: int
    environment: dict[str, str]
    log: Path
    certificate: Path | None = None  # of an endpoint that speaks TLS

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> tuple[int, Any]:
        """Status and body of one request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        if self.certificate is not None:
            trust = ssl.create_default_context(cafile=str(self.certificate))
            connection = HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=trust)
        sent = {"Content-Type": "application/json", **(headers or {})}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request("GET" if body is None else "POST", path, data, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        return answer.status, json.loads(text) if "json" in (answer.headers["content-type"] or "") else text

    def run(self, *arguments: str) -> str:
        """What a command of eagleray on the same storage prints."""
        done = subprocess.run([EAGLERAY, *arguments], env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def new_key(self, name: str, *scopes: str) -> str:
        """An API key."""
        options = [word for scope in scopes for word in ("--scope", scope)]
        return str(json.loads(self.run("keys", "create", name, *options, "--json"))["key"])

    def replicas(self) -> list[int]:
        """The processes that answer."""
        return [pid for pid in self.descendants() if b"ServeReplica:eagleray:Replica" in _command(pid)]

    def descendants(self) -> list[int]:
        """The processes that it started, theirs included."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:  # it has just ended
                    continue
                children.setdefault(parent, []).append(int(entry.name))
        found, queue = [], [self.process.pid]
        while queue:
            queue += (new := children.get(queue.pop(), []))
            found += new
        return found


class Callers:
    """Clients that ask all the time."""

    def __init__(self, endpoint: Served, key: str, *, num: int = 4, pause_s: float = 0.0) -> None:
        """`pause_s` is what each waits between two requests."""
        self.seen: Counter[tuple[int, object]] = Counter()
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(endpoint, key)) for _ in range(num)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, endpoint: Served, key: str) -> None:
        while not self._stop.wait(self._pause_s):
            try:
                status, body = endpoint.ask("/v1/predict", {"inputs": "a joy"}, key=key)
            except OSError:
                status, body = 0, {}
            self.seen[status, body.get("version") if isinstance(body, dict) else None] += 1

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return sum(count for (status, _), count in self.seen.items() if status != 200)


@contextmanager
def served(
    target: str, storage: Path, scratch: Path, *options: str, certificate: Path | None = None
) -> Iterator[Served]:
    """Serve `target` until the context is left, by Ctrl-C."""
    port = free_port()
    environment = {
        **os.environ,
        "EAGLERAY_STORAGE": str(storage),
        "EAGLERAY_CACHE": str(scratch / "cache"),
        "RAY_TMPDIR": "/tmp",
    }
    environment.pop("RAY_ADDRESS", None)
    log = scratch / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [EAGLERAY, "serve", target, "--port", str(port), *options], env=environment, stdout=stream, stderr=stream
        )
    endpoint = Served(process, port, environment, log, certificate)
    try:
        _wait(endpoint)
        yield endpoint
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()


def until(condition: Any, *, within_s: float, what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {within_s:g} s"
        time.sleep(0.2)


def _wait(endpoint: Served) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert endpoint.process.poll() is None, endpoint.log.read_text()
        try:
            if endpoint.ask("/readyz")[0] == 200:
                return
        except OSError:  # nothing listens yet
            pass
        time.sleep(0.5)  # asked without a pause, it would have no time to start
    raise AssertionError(endpoint.log.read_text())


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""
