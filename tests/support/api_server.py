"""A Kubernetes API server on loopback that knows what it is given: objects by path, and what it refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from eagleray.kube.client import Api


@dataclass(slots=True)
class ApiServer:
    """What it holds, and what it was asked."""

    port: int = 0
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, dict[str, list[str]], str]] = field(default_factory=list)

    @property
    def api(self) -> Api:
        """A client of it."""
        settings = client.Configuration()
        settings.host = f"http://127.0.0.1:{self.port}"
        settings.api_key = {"authorization": "Bearer a-token"}
        return Api(settings)

    def kubeconfig(self) -> str:
        """The text of a file by which `kubectl` would find it."""
        cluster = {"name": "a", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "a", "context": {"cluster": "a", "user": "a"}}
        user = {"name": "a", "user": {"token": "a-token"}}
        return json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "a"})


@contextmanager
def running() -> Iterator[ApiServer]:
    """Serve until the block ends."""
    state = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self._note()
            found = state.objects.get(path)
            self._answer(*((404, _status(f"{path} not found")) if found is None else (200, found)))

        def do_PATCH(self) -> None:
            path = self._note()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if path in state.unknown:
                self._send(404, b"404 page not found\n", "text/plain")
                return
            if path in state.refusals:
                self._answer(422, _status(state.refusals[path]))
                return
            served = {"uid": "1", "resourceVersion": "2", "managedFields": []}
            self._answer(200, {**body, "metadata": {**body["metadata"], **served}})

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def _note(self) -> str:
            asked = urlsplit(self.path)
            told = self.headers.get("Content-Type", "")
            state.requests.append((self.command, self.headers.get("Authorization", ""), parse_qs(asked.query), told))
            return asked.path

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            self._send(status, json.dumps(body).encode(), "application/json")

        def _send(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _status(message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "message": message}
