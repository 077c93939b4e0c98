"""Moto's S3 server, with S3's promise that a write and its condition are one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from moto.server import ThreadedMotoServer

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class MotoServer(ThreadedMotoServer):
    """Moto itself looks whether an object is there and then writes it, each request in a thread of its own."""

    def start(self) -> None:
        """Answer, changing one thing at a time."""
        super().start()
        assert self._server is not None
        self._server.app = _one_change_at_a_time(self._server.app)


def _one_change_at_a_time(application: Application) -> Application:
    changing = Lock()

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_response)
        with changing:
            return application(environ, start_response)

    return serve
