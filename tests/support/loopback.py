"""A service on this machine: a port for it, and a request to it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from socketserver import BaseRequestHandler, TCPServer
from typing import Any

SSH = b"SSH-2.0-OpenSSH_9.6\r\n"
"""What a service says that does not speak HTTP."""


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(port: int, path: str, *, body: Any = None, key: str = "", timeout_s: float = 30.0) -> tuple[int, Any]:
    """Status and JSON object of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@contextmanager
def answering(data: bytes) -> Iterator[int]:
    """A port where these bytes are the answer to everything."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            self.request.sendall(data)
            self.request.shutdown(socket.SHUT_WR)
            while self.request.recv(1 << 16):  # closed with something unread, the answer would be lost
                pass

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
