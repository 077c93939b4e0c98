"""What every request passes first: its id, the size and the pace of its body, the access log, and the last resort.

The body is read here, whole, before the application is called: it would read it whole too, and so no handler ever
waits for a slow client or sees a body that is too large. Plain ASGI, since each request pays for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eagleray.serving import problems
from eagleray.serving.loopback import LoopbackOnly
from eagleray.serving.problems import Problem
from eagleray.spec.endpoint import EndpointSpec

_SANE_ID = re.compile(rb"[!-~]{1,128}")
_MAX_LOGGED_PATH = 500
REFUSED_AFTER_S = 0.25
"""A caller that asks again at once, whatever Retry-After says, is answered four times a second and not a thousand: each
refusal takes from those that are answered."""
_MAX_PAUSED = 256
_CLIENT_LEFT = 499  # as nginx logs it; nobody is there to get it

_access_log = logging.getLogger("eagleray.access")
_log = logging.getLogger(__name__)


class Edge:
    """ASGI middleware. Handlers find the id in `request.state.request_id`, and leave the caller's name in `.caller`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        body_timeout_s: float = 10.0,
        echo_request_id: bool = True,
        log_bodies: bool = False,
        refusal_s: Callable[[], float | None] = lambda: None,
        on_refused: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`refusal_s` says when to ask again, where nothing can be answered now; `on_refused` is told how long such a
        request has taken.

        `echo_request_id` is False behind a proxy that does it, such as Ray Serve's, or the header is there twice.
        """
        self._app = app
        self._max_body_bytes, self._body_timeout_s = max_body_bytes, body_timeout_s
        self._echo_request_id, self._log_bodies = echo_request_id, log_bodies
        self._refusal_s, self._on_refused, self._num_paused = refusal_s, on_refused, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(_request_id(scope), time.perf_counter())
        scope.setdefault("state", {})["request_id"] = exchange.request_id
        try:
            await self._answer(scope, receive, self._noted(send, exchange), exchange)
        finally:
            self._log(scope, exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: _Exchange) -> None:
        problem = await self._refused(scope, exchange) or await self._read(scope, receive, exchange)
        if exchange.has_left:
            return
        if problem is not None:
            await problems.answer(problem, scope)(scope, receive, send)
            return
        try:
            await self._app(scope, _replayed(bytes(exchange.body), receive), send)
        except Exception:  # the last resort: the caller gets an answer, the log the traceback
            _log.exception("request %s failed", exchange.request_id)
            if exchange.status is not None:
                raise  # half an answer is out: only the end of the connection can tell
            await problems.answer(problems.internal(exchange.request_id), scope)(scope, receive, send)

    async def _refused(self, scope: Scope, exchange: _Exchange) -> Problem | None:
        """Too much waits already: told before the body is read, and not at once."""
        retry_after_s = self._refusal_s() if scope["method"] == "POST" else None
        if retry_after_s is None:
            return None
        if self._num_paused < _MAX_PAUSED:
            self._num_paused += 1
            try:
                await asyncio.sleep(REFUSED_AFTER_S)
            finally:
                self._num_paused -= 1
        self._on_refused(time.perf_counter() - exchange.began_at)
        return problems.overloaded(retry_after_s)

    async def _read(self, scope: Scope, receive: Receive, exchange: _Exchange) -> Problem | None:
        if _announced_bytes(scope) > self._max_body_bytes:
            return problems.too_large(self._max_body_bytes)
        try:
            async with asyncio.timeout(self._body_timeout_s):
                return await self._read_on(receive, exchange)
        except TimeoutError:
            return problems.too_slow(self._body_timeout_s)

    async def _read_on(self, receive: Receive, exchange: _Exchange) -> Problem | None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                exchange.has_left, exchange.status = True, _CLIENT_LEFT
                return None
            exchange.body += message.get("body", b"")
            if len(exchange.body) > self._max_body_bytes:
                return problems.too_large(self._max_body_bytes)
            if not message.get("more_body", False):
                return None

    def _noted(self, send: Send, exchange: _Exchange) -> Send:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                if self._echo_request_id:
                    others = [header for header in message.get("headers", ()) if header[0].lower() != b"x-request-id"]
                    message = {**message, "headers": [*others, (b"x-request-id", exchange.request_id.encode())]}
            await send(message)

        return send_on

    def _log(self, scope: Scope, exchange: _Exchange) -> None:
        if not _access_log.isEnabledFor(logging.INFO):
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": exchange.request_id,
            "method": scope["method"],
            "path": scope["path"][:_MAX_LOGGED_PATH],  # without the query, which may hold what is secret
            "status": exchange.status,
            "ms": round((time.perf_counter() - exchange.began_at) * 1000, 1),
            "caller": scope["state"].get("caller"),
            "bytes_in": len(exchange.body),
        }
        if self._log_bodies:
            line["body"] = exchange.body.decode(errors="replace")
        _access_log.info(json.dumps(line))


def install(
    app: Starlette,
    spec: EndpointSpec,
    *,
    echo_request_id: bool,
    refusal_s: Callable[[], float | None] = lambda: None,
    on_refused: Callable[[float], None] = lambda seconds: None,
) -> None:
    """Have each request pass the edge, and what else an endpoint's document puts before its routes."""
    if spec.auth.type == "none":
        app.add_middleware(LoopbackOnly, cors_origins=spec.cors_origins)
    app.add_middleware(
        Edge,
        max_body_bytes=spec.limits.max_body_bytes,
        echo_request_id=echo_request_id,
        log_bodies=spec.log_bodies,
        refusal_s=refusal_s,
        on_refused=on_refused,
    )
    if spec.cors_origins:  # added last, passed first
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(spec.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # those of OpenAI's client, too; what is sent says nothing without a key
            expose_headers=["Retry-After", "X-Request-Id"],
        )


@dataclass(slots=True)
class _Exchange:
    """A request and its answer, as far as they are."""

    request_id: str
    began_at: float
    body: bytearray = field(default_factory=bytearray)  # bytes would be copied for each piece that comes
    status: int | None = None  # None: no answer has begun
    has_left: bool = False


def _request_id(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    return given.decode() if given and _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def _announced_bytes(scope: Scope) -> int:
    given = _header(scope, b"content-length")
    # What is no number, or too long for one, is left to the server and to the count.
    return int(given) if given and len(given) < 20 and given.isdigit() else 0


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body again, in one piece; after it what else comes, such as that the client leaves."""
    is_read = False

    async def receive_on() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_on
