"""How does a refusal look to the caller? As problem details (RFC 9457), and as OpenAI's form on the routes of its API.

No answer says what is inside the process: an unforeseen exception becomes a request id, by which the log has the rest.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

_OPENAI_PATHS = ("/v1/chat", "/v1/completions", "/v1/models")
_TYPES = "tag:eagleray.io,2026:"  # a name that needs no page behind it (RFC 4151)
_MAX_PLACES = 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request is not answered."""

    status: int
    title: str  # the same for every problem of the type
    detail: str  # what was given, what is allowed
    type: str = "about:blank"
    extras: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class ProblemError(Exception):
    """Raised where a request cannot be answered."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a body."""

    place: str  # "texts.3"; "" for all of it
    message: str


def too_large(limit_bytes: int) -> Problem:
    """The body has too many bytes."""
    detail = f"the body is larger than {limit_bytes} bytes: send fewer inputs at once"
    # What was not read must not be taken for the next request.
    return _problem(413, "too-large", "Body too large", detail, {"limit_bytes": limit_bytes}, {"Connection": "close"})


def too_slow(limit_s: float) -> Problem:
    """The body did not come in time."""
    detail = f"the body did not come within {limit_s:g} s"
    return _problem(408, "too-slow", "Body too slow", detail, headers={"Connection": "close"})


def too_many_inputs(given: int, limit: int) -> Problem:
    """There are too many inputs in the request."""
    detail = f"{given} inputs were given, at most {limit} are allowed: send several requests"
    return _problem(422, "too-many-inputs", "Too many inputs", detail, {"num_inputs": given, "limit": limit})


def too_long(num_tokens: int, limit: int) -> Problem:
    """An input has more tokens than the model reads."""
    detail = f"an input has {num_tokens} tokens, the model reads at most {limit}: shorten it"
    return _problem(422, "too-long", "Input too long", detail, {"num_tokens": num_tokens, "limit": limit})


def unauthorized() -> Problem:
    """Nobody knows who calls. The same for every reason: none must be learnt by trying."""
    detail = "give a key that works, as the header `Authorization: Bearer KEY`"
    return _problem(401, "unauthorized", "Unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def forbidden(scope: str) -> Problem:
    """The caller is known and may not."""
    return _problem(403, "forbidden", "Forbidden", f"this key lacks the scope `{scope}`", {"scope": scope})


def misdirected(given: str) -> Problem:
    """The request was meant for another host, or says so."""
    allowed = "127.0.0.1, localhost or [::1]"
    detail = f"an endpoint without keys is called at {allowed}; given as Host: {given[:200] or 'none'}"
    return _problem(421, "misdirected", "Misdirected request", detail)


def foreign_origin(given: str) -> Problem:
    """A web page of somewhere else asks."""
    detail = (
        f"an endpoint without keys answers its own web page, and those of cors_origins; given as Origin: {given[:200]}"
    )
    return _problem(403, "foreign-origin", "Foreign origin", detail)


def unknown_model(given: str, known: Iterable[str]) -> Problem:
    """There is no such model here."""
    names = sorted(known)
    detail = f"there is no model {given[:200]!r} here: there is {', '.join(names) or 'none'}"
    return _problem(404, "unknown-model", "Unknown model", detail, {"models": names})


def overloaded(retry_after_s: float) -> Problem:
    """Too much waits already."""
    return _later(429, "overloaded", "Overloaded", "too many inputs wait already", retry_after_s)


def rate_limited(retry_after_s: float) -> Problem:
    """The caller's key has used up what it may ask a minute."""
    return _later(429, "rate-limited", "Rate limited", "this key has used up its requests a minute", retry_after_s)


def unavailable(detail: str, retry_after_s: float) -> Problem:
    """Not now, and it is not the caller's fault."""
    return _later(503, "unavailable", "Unavailable", detail, retry_after_s)


def timed_out(limit_s: float) -> Problem:
    """The answer took too long."""
    return _problem(504, "timed-out", "Timed out", f"there was no answer within {limit_s:g} s")


def malformed(detail: str, mistakes: Iterable[Mistake] = (), *, status: int = 422) -> Problem:
    """The body is not what it must be."""
    errors = [{"place": mistake.place, "message": mistake.message} for mistake in mistakes]
    return _problem(status, "malformed", "Malformed request", detail, {"errors": errors[:_MAX_PLACES]})


def internal(request_id: str) -> Problem:
    """Something that nobody foresaw. Only the log says what."""
    detail = "something went wrong here" + (f"; the log has it under request {request_id}" if request_id else "")
    return _problem(500, "internal", "Internal error", detail, {"request_id": request_id})


def response(problem: Problem) -> Response:
    """As application/problem+json."""
    body = {"type": problem.type, "title": problem.title, "status": problem.status, "detail": problem.detail}
    return _json({**problem.extras, **body}, problem, media_type="application/problem+json")


def openai_response(problem: Problem) -> Response:
    """As the clients of OpenAI's API expect it."""
    error = {
        "message": problem.detail,
        "type": _openai_type(problem.status),
        "param": _openai_param(problem),
        "code": _openai_code(problem),
    }
    return _json({"error": error}, problem, media_type="application/json")


def answer(problem: Problem, scope: Scope) -> Response:
    """In the form that belongs to the request's path."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return openai_response(problem) if path.startswith(_OPENAI_PATHS) else response(problem)


def install(app: FastAPI) -> None:
    """Have the application answer every exception by a problem."""
    app.add_exception_handler(ProblemError, _answers(_of_problem_error))
    app.add_exception_handler(RequestValidationError, _answers(_of_validation_error))
    app.add_exception_handler(HTTPException, _answers(_of_http_exception))
    app.add_exception_handler(Exception, _answer_unforeseen)


def _answers(problem_of: Callable[[Any], Problem]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        return answer(problem_of(error), request.scope)

    return handle


def _of_problem_error(error: ProblemError) -> Problem:
    return error.problem


def _of_validation_error(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return malformed("the body is not JSON", map(_mistake, found), status=400)
    return malformed("the request is not as it must be", map(_mistake, found))


def _mistake(error: Mapping[str, Any]) -> Mistake:
    # Neither `input` nor `ctx`: what was sent is not repeated.
    source, *place = error["loc"]
    return Mistake(".".join(map(str, place if source == "body" else error["loc"])), error["msg"])


def _of_http_exception(error: HTTPException) -> Problem:
    title = HTTPStatus(error.status_code).phrase
    return Problem(error.status_code, title, str(error.detail), headers=dict(error.headers or {}))


async def _answer_unforeseen(request: Request, error: Exception) -> Response:
    # Starlette raises the exception again once this is sent, so the server logs it.
    return answer(internal(request.scope.get("state", {}).get("request_id", "")), request.scope)


def _problem(
    status: int,
    slug: str,
    title: str,
    detail: str,
    extras: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Problem:
    return Problem(status, title, detail, _TYPES + slug, extras or {}, headers or {})


def _later(status: int, slug: str, title: str, detail: str, retry_after_s: float) -> Problem:
    seconds = max(1, math.ceil(retry_after_s))  # the header takes whole seconds
    detail = f"{detail}: try again in {seconds} s"
    return _problem(status, slug, title, detail, {"retry_after_s": seconds}, {"Retry-After": str(seconds)})


def _json(body: Mapping[str, Any], problem: Problem, *, media_type: str) -> Response:
    # In ASCII: what is repeated of a request may hold half a character, which is none of UTF-8's.
    content = json.dumps(body).encode()
    return Response(content, status_code=problem.status, headers=dict(problem.headers), media_type=media_type)


_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_OPENAI_CODES = {
    "unauthorized": "invalid_api_key",
    "unknown-model": "model_not_found",
    "too-long": "context_length_exceeded",
    "rate-limited": "rate_limit_exceeded",
}


def _openai_type(status: int) -> str:
    return _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _openai_code(problem: Problem) -> str | None:
    if not problem.type.startswith(_TYPES):
        return None
    slug = problem.type.removeprefix(_TYPES)
    return _OPENAI_CODES.get(slug, slug.replace("-", "_"))


def _openai_param(problem: Problem) -> str | None:
    if problem.type == _TYPES + "unknown-model":
        return "model"
    errors = problem.extras.get("errors")
    return errors[0]["place"] or None if errors else None
