"""The routes of the page: files, and JSON that says what the storage does. They only read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import eagleray
from eagleray.errors import StorageError, UserError
from eagleray.serving import problems
from eagleray.serving.auth import Authority, NoAuth, require
from eagleray.serving.edge import Edge
from eagleray.serving.loopback import LoopbackOnly
from eagleray.serving.problems import Problem
from eagleray.ui.looks import Looks

PAGE = Path(__file__).parent / "page"
_MAX_BODY_BYTES = 1024  # no route reads one
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Files too: after an upgrade an old script would read new answers.
    "Cache-Control": "no-cache",
}


def build(looks: Looks, authority: Authority | NoAuth, *, storage: str) -> FastAPI:
    """The application. Callers need the scope `admin`; without keys it answers this machine alone."""
    app = FastAPI(
        title="eagleray ui",
        version=eagleray.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_keeping(authority),
    )
    problems.install(app)
    app.add_exception_handler(UserError, _not_found)
    app.add_exception_handler(StorageError, _storage_trouble)
    app.include_router(_api(looks, storage), prefix="/api", dependencies=[Depends(_admitted(authority))])
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    if isinstance(authority, NoAuth):
        app.add_middleware(LoopbackOnly, cors_origins=())
    app.add_middleware(Edge, max_body_bytes=_MAX_BODY_BYTES)
    app.add_middleware(_Headed)
    return app


def _api(looks: Looks, storage: str) -> APIRouter:
    """Plain functions: they wait for the storage, in threads."""
    router = APIRouter()

    @router.get("/storage")
    def there() -> dict[str, Any]:
        return {"storage": storage, "version": eagleray.__version__}

    @router.get("/runs")
    def runs() -> list[dict[str, Any]]:
        return looks.runs()

    @router.get("/runs/{run}")
    def run(run: str) -> dict[str, Any]:
        return looks.run(run)

    @router.get("/runs/{run}/curves")
    def curves(run: str) -> dict[str, Any]:
        return looks.curves(run)

    @router.get("/sweeps/{run}")
    def sweep(run: str) -> dict[str, Any]:
        return looks.sweep(run)

    @router.get("/models")
    def models() -> list[dict[str, Any]]:
        return looks.models()

    @router.get("/models/{name}")
    def model(name: str) -> dict[str, Any]:
        return looks.model(name)

    @router.get("/endpoints")
    def endpoints() -> list[dict[str, Any]]:
        return looks.endpoints()

    return router


def _admitted(authority: Authority | NoAuth) -> Callable[[Request], Awaitable[None]]:
    async def admit(request: Request) -> None:
        caller = authority.identify(request.headers.get("authorization"))
        request.state.caller = caller.name
        require(caller, "admin")

    return admit


def _keeping(authority: Authority | NoAuth) -> Callable[[FastAPI], Any]:
    """Read the keys before the first request, and again and again from then on."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if isinstance(authority, Authority):
            await authority.refresh()
        reading = asyncio.create_task(authority.keep_fresh())
        yield
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading

    return lifespan


async def _not_found(request: Request, error: Exception) -> Response:
    return problems.response(Problem(404, "Not found", str(error)))


async def _storage_trouble(request: Request, error: Exception) -> Response:
    return problems.response(problems.unavailable(str(error), 5))


class _Headed:
    """ASGI middleware: what a browser may do with an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, headed)
