"""How does Ray Serve's proxy hand a request to a replica on the same machine? By one hop over a Unix socket.

Ray Serve's own way costs three calls of an actor a request (the request, its body, the caller's leaving), 3.5 ms of
computing in the proxy and as much in the replica. It stays what is gone where no replica is within reach. The proxy
loads `middlewares` where RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it; decision 0015 tells more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import ray
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eagleray.serving import problems, wire
from eagleray.serving.wire import Frame, Kind, Link

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
CALLBACK = "eagleray.serving.shortcut:middlewares"
_LOOK_S = 0.1  # how soon a new replica is found; looking costs some 20 us
_RETRY_S = 1.0
_ENDED = problems.unavailable("the process that was to answer has ended", _RETRY_S)


def is_taken() -> bool:
    """Whether this process belongs to an endpoint whose proxy takes the short way."""
    return os.environ.get(VARIABLE) == CALLBACK


def sockets() -> Path:
    """Where the replicas of this Ray listen on this machine."""
    return wire.directory(ray.get_runtime_context().get_session_name())


def middlewares() -> list[Middleware]:
    """What Ray Serve's proxy puts before itself."""
    return [Middleware(Shortcut, directory=sockets())]


class Shortcut:
    """ASGI middleware: the replica that has least to do answers, else the application behind."""

    def __init__(self, app: ASGIApp, *, directory: Path) -> None:
        self._app, self._directory = app, directory
        self._replicas: dict[Path, _Replica] = {}
        self._watch: asyncio.Task[None] | None = None

    @property
    def known(self) -> list[_Replica]:
        """Replicas that take requests."""
        return [replica for replica in self._replicas.values() if replica.takes_more]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._keep_looking())
        replica = self._chosen()
        # `/-/healthz` and `/-/routes` are the proxy's own.
        if replica is None or scope["type"] != "http" or scope["path"].startswith("/-/"):
            await self._app(scope, receive, send)
            return
        await replica.answer(scope, receive, send)

    async def look(self) -> None:
        """Connect to replicas that are new. From the first request on this is done all the time."""
        for socket in wire.sockets(self._directory) - self._replicas.keys():
            await self._meet(socket)

    def _chosen(self) -> _Replica | None:
        """The one with the fewest requests under way; among equals the one that has waited longest for one."""
        return min(self.known, key=lambda replica: (replica.num_ongoing, replica.last_asked), default=None)

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def _meet(self, socket: Path) -> None:
        replica = self._replicas[socket] = _Replica(lambda: self._replicas.pop(socket, None))
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: replica.link, str(socket))
        except OSError as error:
            del self._replicas[socket]
            if isinstance(error, ConnectionRefusedError):  # it was killed; any other has just left
                socket.unlink(missing_ok=True)


class _Replica:
    """A replica that is connected."""

    _turns = count(1)

    def __init__(self, on_end: Callable[[], object]) -> None:
        self._on_end = on_end
        self.link = Link(self._take, self._ended)
        self.takes_more, self.last_asked = False, 0
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Queue[Frame]] = {}

    @property
    def num_ongoing(self) -> int:
        """Requests that it has not yet answered."""
        return len(self._answers)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request over, and its answer back. Raises ConnectionError: the answer is broken off."""
        number, frames = next(self._numbers), asyncio.Queue[Frame]()
        self._answers[number], self.last_asked = frames, next(self._turns)
        self.link.put(Kind.OPEN, number, head=_head(scope))
        passing = asyncio.get_running_loop().create_task(self._pass_on(number, receive, frames))
        try:
            await self._relay(number, frames, scope, send)
        finally:
            passing.cancel()
            if self._answers.pop(number, None) is not None:
                self.link.put(Kind.LEFT, number)
            self._close_if_done()

    async def _pass_on(self, number: int, receive: Receive, frames: asyncio.Queue[Frame]) -> None:
        """The body, in the pieces in which it comes, and that the caller has left."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                frames.put_nowait(_frame(Kind.LEFT))
                return
            kind = Kind.BODY if message.get("more_body", False) else Kind.END
            self.link.put(kind, number, body=message.get("body", b""))
            await self.link.drained()

    async def _relay(self, number: int, frames: asyncio.Queue[Frame], scope: Scope, send: Send) -> None:
        has_begun = False
        while True:
            frame = await frames.get()
            match frame.kind:
                case Kind.START:
                    has_begun, headers = True, wire.pairs(frame.head["headers"])
                    await send({"type": "http.response.start", "status": frame.head["status"], "headers": headers})
                case Kind.BODY:
                    await send({"type": "http.response.body", "body": frame.body, "more_body": True})
                case Kind.END:
                    self._answers.pop(number, None)
                    await send({"type": "http.response.body", "body": frame.body})
                    return
                case Kind.LEFT:
                    return
                case Kind.FAILED:
                    self._answers.pop(number, None)
                    if has_begun:  # only the end of the connection can tell
                        raise ConnectionError("the replica has ended in the midst of an answer")
                    await problems.answer(_ENDED, scope)(scope, _nothing, send)
                    return

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.HELLO:
            self.takes_more = True
        elif frame.kind is Kind.BYE:
            self.takes_more = False
            self._close_if_done()
        elif frame.exchange in self._answers:
            self._answers[frame.exchange].put_nowait(frame)

    def _close_if_done(self) -> None:
        if not self.takes_more and not self._answers:
            self.link.close()

    def _ended(self) -> None:
        self.takes_more = False
        self._on_end()
        for frames in self._answers.values():
            frames.put_nowait(_frame(Kind.FAILED))


def _head(scope: Scope) -> dict[str, Any]:
    return {
        **{name: scope[name] for name in ("http_version", "method", "scheme", "path")},
        "root_path": scope.get("root_path", ""),
        "raw_path": scope.get("raw_path", b"").decode("latin-1"),
        "query_string": scope["query_string"].decode("latin-1"),
        "headers": wire.texts(scope["headers"]),
        "client": scope.get("client"),
        "server": scope.get("server"),
    }


def _frame(kind: Kind) -> Frame:
    return Frame(kind, 0, {}, b"")


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
