"""What stands before an engine that brings routes of its own: who may call, how often, how much at once, how long?

The routes are not ours, so nothing is open that is not named here: a path that nobody thought of needs a key, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eagleray.serving import edge, problems
from eagleray.serving.auth import Authority, NoAuth, require
from eagleray.serving.identity import HEADER as IDENTITY_HEADER
from eagleray.serving.limits import Allowance, Ledger
from eagleray.serving.problems import Mistake, Problem, ProblemError
from eagleray.spec.endpoint import EndpointSpec

OPEN = frozenset({"/healthz", "/readyz"})
"""What answers anybody."""
_FREE = frozenset({"GET", "HEAD"})  # they ask no model: a key's rate does not count them
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Knows the callers and how often each may ask. All of an endpoint's requests pass the same one."""

    authority: Authority | NoAuth
    allowance: Allowance

    async def admit(self, scope: Scope) -> None:
        """Raise ProblemError where the caller may not go on."""
        caller = self.authority.identify(Headers(scope=scope).get("authorization"))
        scope.setdefault("state", {})["caller"] = caller.name  # the access log names who is refused, too
        require(caller, "predict")
        if scope["method"] not in _FREE:
            retry_after_s = await self.allowance.admit(caller)
            if retry_after_s is not None:
                raise ProblemError(problems.rate_limited(retry_after_s))


class Guard:
    """ASGI middleware. The application's `state.admission` says who passes; what passes has lost its key."""

    def __init__(self, app: ASGIApp, *, timeout_s: float) -> None:
        """`timeout_s` is for a whole answer, and for the first piece of a stream."""
        self._app, self._timeout_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "websocket":  # nothing here is asked that way
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        problem = await self._passed(scope, receive, send)
        if problem is not None:
            await problems.answer(problem, scope)(scope, receive, send)

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> Problem | None:
        try:
            await scope["app"].state.admission.admit(scope)
        except ProblemError as error:
            return error.problem
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                await self._app(_without_key(scope), receive, _lifting(limit, send))
        except TimeoutError:
            if not limit.expired():
                raise
            return problems.timed_out(self._timeout_s)
        return None


@dataclass(frozen=True, slots=True)
class Engine:
    """What there is to know of the engine behind the guard."""

    is_ready: Callable[[], bool]  # may block
    refused: type[Exception]  # what its routes raise: it has a `status_code` and a `message`
    is_full: type[Exception]  # what they raise where too many requests wait


def build(spec: EndpointSpec, engine: Engine, authority: Callable[[], Authority | NoAuth], *, identity: str) -> FastAPI:
    """An application that the engine's routes are put into. It can be pickled if `engine` and `authority` can.

    `authority` is asked when the application starts, in the process that it runs in.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        callers = await asyncio.to_thread(authority)
        if isinstance(callers, Authority):
            await callers.refresh()
        fresh = asyncio.create_task(callers.keep_fresh())
        # There is one process before the engines, so its own ledger is that of the endpoint.
        app.state.admission = Admission(callers, Allowance(_leases(Ledger()), max_replicas=1))
        try:
            yield
        finally:
            fresh.cancel()

    app = FastAPI(title="eagleray endpoint", docs_url=None, redoc_url=None, lifespan=lifespan)
    problems.install(app)
    app.add_exception_handler(engine.refused, _answers(_of_engine))
    app.add_exception_handler(engine.is_full, _answers(_of_full_queue))
    app.add_exception_handler(RequestValidationError, _answers(_of_body))
    _add_facts(app, identity=identity, is_ready=engine.is_ready)
    app.add_middleware(Guard, timeout_s=spec.limits.request_timeout_s)
    edge.install(app, spec, echo_request_id=False)  # the proxy of Ray Serve sends the request's id back by itself
    return app


def _add_facts(app: FastAPI, *, identity: str, is_ready: Callable[[], bool]) -> None:
    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """The process lives."""
        return "ok"

    @app.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "Not ready."}})
    async def readyz() -> PlainTextResponse:
        """The engines have loaded their models."""
        if not await asyncio.to_thread(is_ready):
            raise ProblemError(problems.unavailable("the models are not loaded yet", _RETRY_S))
        return PlainTextResponse("ready", headers={IDENTITY_HEADER: identity})


def _leases(ledger: Ledger) -> Callable[[str, float, int], Awaitable[int]]:
    async def lease(name: str, rate: float, wanted: int) -> int:
        return ledger.take(name, rate, wanted)

    return lease


def _without_key(scope: Scope) -> Scope:
    """The engine's replicas are told the headers of a request: a key is nothing they need."""
    return {**scope, "headers": [header for header in scope["headers"] if header[0].lower() != b"authorization"]}


def _lifting(limit: asyncio.Timeout, send: Send) -> Send:
    """An answer that has begun may last."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            limit.reschedule(None)
        await send(message)

    return send_on


def _answers(problem_of: Callable[[Any, str], Problem]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        request_id = getattr(request.state, "request_id", "")
        return problems.answer(problem_of(error, request_id), request.scope)

    return handle


def _of_engine(error: Any, request_id: str) -> Problem:
    status: int = error.status_code
    if not 400 <= status < 500:  # what went wrong inside is for the log
        return problems.internal(request_id)
    return Problem(status, HTTPStatus(status).phrase, str(error.message))


def _of_full_queue(error: Exception, request_id: str) -> Problem:
    return problems.overloaded(_RETRY_S)


def _of_body(error: RequestValidationError, request_id: str) -> Problem:
    """400, as OpenAI answers; what was sent is not repeated."""
    mistakes = [_mistake(each) for each in error.errors()]
    told = "; ".join(f"{each.place}: {each.message}" if each.place else each.message for each in mistakes[:3])
    return problems.malformed(told, mistakes, status=400)


def _mistake(error: Mapping[str, Any]) -> Mistake:
    return Mistake(".".join(map(str, error["loc"][1:])), error["msg"])
