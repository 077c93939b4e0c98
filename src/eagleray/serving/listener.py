"""How does a replica take requests from the proxy of its machine, past the calls of Ray Serve?

Ray Serve counts none of them, so they are counted here: for its autoscaling, and so that a replica that is taken away
answers them first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from eagleray.serving import wire
from eagleray.serving.wire import Frame, Kind, Link

_POLL_S = 0.02
_log = logging.getLogger(__name__)


class Listener:
    """Hands what comes in by a Unix socket to an ASGI application. Belongs to one event loop."""

    def __init__(self, app: ASGIApp, socket: Path) -> None:
        self._app, self._socket = app, socket
        self._server: asyncio.Server | None = None
        self._callers: set[_Caller] = set()

    @property
    def num_ongoing(self) -> int:
        """Requests that are not yet answered."""
        return sum(caller.num_ongoing for caller in self._callers)

    async def open(self) -> None:
        """Take requests from now on. Raises OSError: where the socket is to be belongs to somebody else, or is full."""
        self._socket.parent.mkdir(mode=0o700, exist_ok=True)
        if not wire.is_private(self._socket.parent):
            raise PermissionError(f"{self._socket.parent} is not this user's alone")
        loop = asyncio.get_running_loop()
        hidden = wire.hidden(self._socket)
        self._server = await loop.create_unix_server(self._met, str(hidden))
        hidden.rename(self._socket)

    async def drain(self, timeout_s: float) -> None:
        """Take nothing new, and answer what has come."""
        if self._server is None:
            return
        self._socket.unlink(missing_ok=True)
        self._server.close()
        for caller in self._callers:
            caller.link.put(Kind.BYE)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._callers:  # they close once they have their answers
                    await asyncio.sleep(_POLL_S)
        for caller in self._callers:
            caller.link.close()
        with suppress(OSError):  # other replicas have theirs there
            self._socket.parent.rmdir()

    def _met(self) -> Link:
        caller = _Caller(self._app, self._callers)
        self._callers.add(caller)
        return caller.link


class _Caller:
    """A proxy that is connected, and the requests that it has handed over."""

    def __init__(self, app: ASGIApp, callers: set[_Caller]) -> None:
        self._app, self._callers = app, callers
        self.link = Link(self._take, self._ended, greeting=Kind.HELLO)
        self._received: dict[int, asyncio.Queue[Message]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def num_ongoing(self) -> int:
        return len(self._tasks)

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.OPEN:
                self._begin(frame)
            case Kind.BODY | Kind.END if frame.exchange in self._received:
                message = {"type": "http.request", "body": frame.body, "more_body": frame.kind is Kind.BODY}
                self._received[frame.exchange].put_nowait(message)
            case Kind.LEFT if frame.exchange in self._tasks:
                self._received[frame.exchange].put_nowait({"type": "http.disconnect"})
                self._tasks[frame.exchange].cancel()  # what is waited for by nobody is not computed

    def _begin(self, frame: Frame) -> None:
        number, received = frame.exchange, asyncio.Queue[Message]()
        self._received[number] = received
        answer = self._answer(number, _scope(frame.head), received)
        task = self._tasks[number] = asyncio.get_running_loop().create_task(answer)
        # Not at the end of the coroutine: cancelled before its first step, it is never run.
        task.add_done_callback(lambda task: self._forget(number))

    def _forget(self, number: int) -> None:
        del self._received[number], self._tasks[number]

    async def _answer(self, number: int, scope: Scope, received: asyncio.Queue[Message]) -> None:
        is_whole = False

        async def send(message: Message) -> None:
            nonlocal is_whole
            if message["type"] == "http.response.start":
                head = {"status": message["status"], "headers": wire.texts(message.get("headers", ()))}
                self.link.put(Kind.START, number, head=head)
                return
            is_whole = not message.get("more_body", False)
            self.link.put(Kind.END if is_whole else Kind.BODY, number, body=message.get("body", b""))
            await self.link.drained()

        try:
            await self._app(scope, received.get, send)
        except Exception:
            _log.exception("a request could not be answered")
        finally:
            if not is_whole:
                self.link.put(Kind.FAILED, number)

    def _ended(self) -> None:
        """The proxy is gone, and with it those who wait."""
        self._callers.discard(self)
        for task in self._tasks.values():
            task.cancel()


def _scope(head: Mapping[str, Any]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        **{name: head[name] for name in ("http_version", "method", "scheme", "path", "root_path")},
        "raw_path": head["raw_path"].encode("latin-1"),
        "query_string": head["query_string"].encode("latin-1"),
        "headers": wire.pairs(head["headers"]),
        "client": tuple(head["client"]) if head["client"] else None,
        "server": tuple(head["server"]) if head["server"] else None,
        "state": {},
    }
