"""A service on this machine: a port for it, and a request to it."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from typing import Any


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
