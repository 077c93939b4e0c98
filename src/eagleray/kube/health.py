"""Is the operator alive, ready, and what has it done? Answered over HTTP, for the kubelet and for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Health:
    """`/healthz`, `/readyz` and `/metrics`, from a thread. Leaving its context ends it."""

    def __init__(
        self, port: int, *, is_alive: Callable[[], bool], is_ready: Callable[[], bool], metrics: Callable[[], str]
    ) -> None:
        answers: dict[str, Callable[[], tuple[int, str]]] = {
            "/healthz": lambda: _truth(is_alive()),
            "/readyz": lambda: _truth(is_ready()),
            "/metrics": lambda: (200, metrics()),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = answers[self.path]() if self.path in answers else (404, "not found\n")
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Probes come every few seconds."""

        self._server = ThreadingHTTPServer(("", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """Where it answers."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _truth(holds: bool) -> tuple[int, str]:
    return (200, "ok\n") if holds else (503, "not now\n")
