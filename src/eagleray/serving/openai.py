"""How do clients of OpenAI's API talk to a language model here? `POST /v1/chat/completions` and `/v1/completions`."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from eagleray.errors import UserError
from eagleray.serving import openai_answers as answers
from eagleray.serving import problems, streams
from eagleray.serving.continuation import GenerationRequest, Piece
from eagleray.serving.openai_bodies import ChatBody, CompletionBody, parse, schema
from eagleray.serving.problems import Problem, ProblemError
from eagleray.serving.text_rows import QueueFull, Stopped, TooLong

_log = logging.getLogger(__name__)

_SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second: nginx must not gather the pieces
_CLIENT_LEFT = 499  # as nginx logs it; nobody is there to get it

Written: TypeAlias = AsyncGenerator[tuple[int, Piece], None]
"""The answer to one request: pieces, and the number of the choice that each belongs to. Closing it ends it."""


class TextModel(Protocol):
    """A version of a language model that is loaded."""

    @property
    def max_new_tokens(self) -> int:
        """The most that a request may ask for."""
        ...

    @property
    def max_length(self) -> int | None:
        """Tokens of prompt and answer together."""
        ...

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]: ...

    def encode(self, prompt: str) -> tuple[int, ...]: ...

    def generate(self, request: GenerationRequest) -> streams.Pieces:
        """Begin at once; a refusal is raised here and not by the first piece. Dropping the answer ends it too."""
        ...


class TextModels(Protocol):
    """The language models of this server."""

    async def write(self, name: str, begin: Callable[[TextModel], Awaitable[Written]], *, request_id: str) -> Written:
        """What `begin` makes of a version of this model, once its first piece is there.

        Of another version, where that of the first try fails. Raises ProblemError where there is none of this name.
        """
        ...

    def count(self, name: str, *, route: str, status: int, seconds: float) -> None:
        """Learn how a request has ended."""
        ...


@dataclass(slots=True)
class _Job:
    """One request."""

    body: ChatBody | CompletionBody
    form: answers.Form
    num_prompt_tokens: int = 0
    """As the version counts them that answers."""
    began_at: float = field(default_factory=time.perf_counter)

    @property
    def num_choices(self) -> int:
        return len(self.body.prompts) if isinstance(self.body, CompletionBody) else 1

    async def begin(self, model: TextModel) -> Written:
        """Start to generate, for all prompts or none: streams that are dropped end by themselves.

        Raises:
            ProblemError: this model does not take the request.
            Stopped: it answers no more.
        """
        try:
            prompts = await _prompts(model, self.body)
            begun = [model.generate(_request(model, prompt, self.body)) for prompt in prompts]
        except (UserError, QueueFull) as error:
            raise ProblemError(_problem(error) or problems.internal("")) from error
        self.num_prompt_tokens = sum(map(len, prompts))
        return streams.merged(begun)


def router(provider: TextModels, *, timeout_s: float) -> APIRouter:
    """The routes. Refusals have OpenAI's form, whatever the application makes of others.

    `timeout_s` is for a whole answer, and for the first piece of a stream.
    """
    routes = APIRouter()

    async def chat_completions(request: Request) -> Response:
        return await _answered(provider, request, ChatBody, answers.Chat, timeout_s)

    async def completions(request: Request) -> Response:
        return await _answered(provider, request, CompletionBody, answers.Completion, timeout_s)

    for path, handler, body in (
        ("/v1/chat/completions", chat_completions, ChatBody),
        ("/v1/completions", completions, CompletionBody),
    ):
        # Parsed by hand, for OpenAI answers 400 where FastAPI does 422; the documentation has the schema all the same.
        extra = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema(body)}}}}
        routes.add_api_route(path, handler, methods=["POST"], tags=["openai"], openapi_extra=extra)
    return routes


async def _answered(
    provider: TextModels,
    request: Request,
    body_type: type[ChatBody] | type[CompletionBody],
    form: type[answers.Form],
    timeout_s: float,
) -> Response:
    try:
        body = parse(body_type, await request.body())
    except ProblemError as error:
        return problems.openai_response(error.problem)
    identity = f"{form.prefix}-{uuid.uuid4().hex}"
    job = _Job(body, form(identity=identity, created=int(time.time()), model=body.model))
    status = 500
    try:
        response = await _respond(provider, request, job, timeout_s)
        status = response.status_code
        return response
    except Exception as error:
        problem = problems.timed_out(timeout_s) if isinstance(error, TimeoutError) else _problem(error)
        if problem is None:
            raise
        status = problem.status
        return problems.openai_response(problem)
    finally:
        if status != 200 or not body.stream:  # a stream has only begun
            _count(provider, request, job, status=status)


async def _respond(provider: TextModels, request: Request, job: _Job, timeout_s: float) -> Response:
    request_id = getattr(request.state, "request_id", "")

    async def begun() -> Written:
        async with asyncio.timeout(timeout_s):
            return await provider.write(job.body.model, job.begin, request_id=request_id)

    async def whole() -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            return await _whole(job, await provider.write(job.body.model, job.begin, request_id=request_id))

    if not job.body.stream:
        answer = await streams.unless_gone(request, whole())
        return Response(status_code=_CLIENT_LEFT) if answer is None else JSONResponse(answer)
    written = await streams.unless_gone(request, begun())
    if written is None:
        return Response(status_code=_CLIENT_LEFT)
    events = _events(job, written, ended=lambda status: _count(provider, request, job, status=status))
    return StreamingResponse(events, media_type="text/event-stream", headers=_SSE_HEADERS)


def _count(provider: TextModels, request: Request, job: _Job, *, status: int) -> None:
    seconds = time.perf_counter() - job.began_at
    provider.count(job.body.model, route=request.url.path, status=status, seconds=seconds)


async def _prompts(model: TextModel, body: ChatBody | CompletionBody) -> list[tuple[int, ...]]:
    """Token ids, a prompt a choice. In a thread: a long text takes a second."""
    if isinstance(body, ChatBody):
        return [await asyncio.to_thread(model.encode_chat, [message.plain for message in body.messages])]
    return [
        tuple(prompt) if isinstance(prompt, list) else await asyncio.to_thread(model.encode, prompt)
        for prompt in body.prompts
    ]


def _request(model: TextModel, prompt: tuple[int, ...], body: ChatBody | CompletionBody) -> GenerationRequest:
    wanted = body.num_new_tokens
    if wanted is not None and wanted > model.max_new_tokens:
        raise UserError(f"{wanted} new tokens are asked for, {model.max_new_tokens} are allowed: ask for fewer")
    return GenerationRequest(
        input_ids=prompt,
        max_new_tokens=wanted or _room(model, len(prompt)),
        temperature=body.temperature,
        top_p=body.top_p,
        stop=tuple(body.stop),
        seed=body.seed,
        top_logprobs=body.num_logprobs,
    )


def _room(model: TextModel, num_prompt_tokens: int) -> int:
    """What a request that says nothing may have: all that the model can hold, at least one so that the check speaks."""
    if model.max_length is None:
        return model.max_new_tokens
    return max(1, min(model.max_new_tokens, model.max_length - num_prompt_tokens))


async def _whole(job: _Job, written: Written) -> dict[str, Any]:
    """The answer in one."""
    choices: list[list[Piece]] = [[] for _ in range(job.num_choices)]
    async with aclosing(written):
        async for index, piece in written:
            choices[index].append(piece)
    num_tokens = sum(len(piece.token_ids) for pieces in choices for piece in pieces)
    return job.form.whole(choices, usage=answers.usage(job.num_prompt_tokens, num_tokens))


async def _events(job: _Job, written: Written, *, ended: Callable[[int], None]) -> AsyncIterator[bytes]:
    """Server-sent events: the pieces of all choices as they come, the usage where it is asked for, and the end."""
    status = _CLIENT_LEFT
    try:
        async with aclosing(written):
            async for chunk in _chunks(job, written):
                yield _event(chunk)
        status = 200
    except Exception as error:  # that it begins well was sent long ago: the client learns it as an event
        problem = _problem(error)
        if problem is None:
            _log.exception("a stream broke off")
            problem = problems.internal("")
        status = problem.status
        yield _event(json.loads(bytes(problems.openai_response(problem).body)))
    finally:
        ended(status)
    yield b"data: [DONE]\n\n"


async def _chunks(job: _Job, written: Written) -> AsyncIterator[dict[str, Any]]:
    # Clients expect `usage` in every chunk once they ask for it; null until the last.
    extra = {"usage": None} if job.body.include_usage else {}
    num_tokens = 0
    for index in range(job.num_choices):
        for chunk in job.form.opening(index):
            yield {**chunk, **extra}
    async for index, piece in written:
        num_tokens += len(piece.token_ids)
        for chunk in job.form.chunks(index, piece):
            yield {**chunk, **extra}
    if job.body.include_usage:
        yield job.form.closing(answers.usage(job.num_prompt_tokens, num_tokens))


def _event(data: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def _problem(error: Exception) -> Problem | None:
    """What the caller is told; None of what nobody foresaw."""
    match error:
        case ProblemError():
            return error.problem
        case TooLong():
            problem = problems.too_long(error.num_tokens, error.limit)
            return Problem(400, problem.title, str(error), problem.type, problem.extras)
        case UserError():
            return problems.malformed(str(error), status=400)
        case QueueFull():
            return problems.overloaded(error.retry_after_s)
        case Stopped():
            return problems.unavailable(str(error), 1.0)
    return None
