"""Is it a program of this machine that asks an endpoint without keys, and not a web page in its browser?

A page that somebody visits can have the browser call 127.0.0.1, and with a name of its own that it lets point there
(DNS rebinding) even read the answers. The browser tells both: by `Host`, `Origin` and `Sec-Fetch-Site`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from eagleray.serving import problems
from eagleray.serving.problems import Problem

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)


class LoopbackOnly:
    """ASGI middleware for an endpoint that answers without keys."""

    def __init__(self, app: ASGIApp, *, cors_origins: Iterable[str]) -> None:
        self._app, self._cors_origins = app, frozenset(cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        problem = refusal(Headers(scope=scope), cors_origins=self._cors_origins) if scope["type"] == "http" else None
        if problem is not None:
            await problems.answer(problem, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def refusal(headers: Headers, *, cors_origins: Set[str]) -> Problem | None:
    """What speaks against a request; None where nothing does."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if not _LOOPBACK_HOST.fullmatch(host):
        return problems.misdirected(host)
    if origin is not None:
        is_own = origin.lower().partition("://")[2] == host.lower()
        return None if is_own or not cors_origins.isdisjoint({origin, "*"}) else problems.foreign_origin(origin)
    # What a page asks for without wanting to read it, such as its images, has no Origin. A link that somebody follows
    # to here is no such request.
    is_of_a_page = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if is_of_a_page and headers.get("sec-fetch-mode") != "navigate":
        return problems.foreign_origin("none, and it is a page of elsewhere that asks")
    return None
