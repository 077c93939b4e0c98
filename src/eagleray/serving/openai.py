"""How do clients of OpenAI's API talk to a language model here? `POST /v1/chat/completions` and `/v1/completions`."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from eagleray.errors import UserError
from eagleray.serving import openai_answers as answers
from eagleray.serving import problems
from eagleray.serving.generation import GenerationRequest, Piece, QueueFull, Stopped, TooLong
from eagleray.serving.openai_bodies import ChatBody, CompletionBody, TextBody, parse
from eagleray.serving.problems import Problem, ProblemError

_log = logging.getLogger(__name__)

_SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second: nginx must not gather the pieces


class Pieces(Protocol):
    """An answer as it is written. Closing it ends the generation."""

    def __aiter__(self) -> AsyncIterator[Piece]: ...

    async def __anext__(self) -> Piece: ...

    async def aclose(self) -> None: ...


class TextModel(Protocol):
    """A language model that is loaded."""

    @property
    def name(self) -> str: ...

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

    def generate(self, request: GenerationRequest) -> Pieces:
        """Begin at once; a refusal is raised here and not by the first piece. Dropping the answer ends it too."""
        ...


class TextModels(Protocol):
    """The language models of this server."""

    async def find(self, name: str) -> TextModel:
        """Raises ProblemError where there is none of this name."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """A request whose generation has begun: one stream of pieces for each prompt."""

    form: answers.Form
    streams: list[Pieces]
    num_prompt_tokens: int


def router(provider: TextModels) -> APIRouter:
    """The routes. Refusals have OpenAI's form, whatever the application makes of others."""
    routes = APIRouter()

    async def chat_completions(request: Request) -> Response:
        return await _answered(request, lambda: _chat(provider, request))

    async def completions(request: Request) -> Response:
        return await _answered(request, lambda: _complete(provider, request))

    for path, handler, body in (
        ("/v1/chat/completions", chat_completions, ChatBody),
        ("/v1/completions", completions, CompletionBody),
    ):
        # Parsed by hand, for OpenAI answers 400 where FastAPI does 422; the documentation has the schema all the same.
        schema = {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(body)}}}}
        routes.add_api_route(path, handler, methods=["POST"], tags=["openai"], openapi_extra=schema)
    return routes


def _schema(body: type[TextBody]) -> dict[str, Any]:
    """With everything in place: FastAPI does not gather the definitions of an extra."""
    schema = body.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict) and "$ref" in node:
            return resolved(definitions[node["$ref"].rpartition("/")[2]])
        if isinstance(node, dict):
            return {name: resolved(value) for name, value in node.items()}
        return [resolved(value) for value in node] if isinstance(node, list) else node

    return dict(resolved(schema))


async def _answered(request: Request, respond: Callable[[], Awaitable[Response]]) -> Response:
    try:
        return await respond()
    except Exception as error:
        problem = _problem(error)
        if problem is None:
            raise
        return problems.openai_response(problem)


async def _chat(provider: TextModels, request: Request) -> Response:
    body = parse(ChatBody, await request.body())
    model = await provider.find(body.model)
    messages = [message.plain for message in body.messages]
    prompt = await asyncio.to_thread(model.encode_chat, messages)  # a long one takes a second
    return await _respond(request, body, _begin(model, body, [prompt], body.num_new_tokens, answers.Chat))


async def _complete(provider: TextModels, request: Request) -> Response:
    body = parse(CompletionBody, await request.body())
    model = await provider.find(body.model)
    prompts = [
        tuple(prompt) if isinstance(prompt, list) else await asyncio.to_thread(model.encode, prompt)
        for prompt in body.prompts
    ]
    return await _respond(request, body, _begin(model, body, prompts, body.num_new_tokens, answers.Completion))


def _begin(
    model: TextModel,
    body: ChatBody | CompletionBody,
    prompts: Sequence[tuple[int, ...]],
    num_new_tokens: int | None,
    form: type[answers.Form],
) -> _Job:
    """Start to generate, for all prompts or none: streams that are dropped end by themselves."""
    if num_new_tokens is not None and num_new_tokens > model.max_new_tokens:
        raise UserError(f"{num_new_tokens} new tokens are asked for, {model.max_new_tokens} are allowed: ask for fewer")
    streams = [
        model.generate(
            GenerationRequest(
                input_ids=prompt,
                max_new_tokens=num_new_tokens or _room(model, len(prompt)),
                temperature=body.temperature,
                top_p=body.top_p,
                stop=tuple(body.stop),
                seed=body.seed,
                top_logprobs=body.num_logprobs,
            )
        )
        for prompt in prompts
    ]
    return _Job(
        form(identity=f"{form.prefix}-{uuid.uuid4().hex}", created=int(time.time()), model=model.name),
        streams,
        sum(len(prompt) for prompt in prompts),
    )


def _room(model: TextModel, num_prompt_tokens: int) -> int:
    """What a request that says nothing may have: all that the model can hold, at least one so that the check speaks."""
    if model.max_length is None:
        return model.max_new_tokens
    return max(1, min(model.max_new_tokens, model.max_length - num_prompt_tokens))


async def _respond(request: Request, body: TextBody, job: _Job) -> Response:
    if body.stream:
        events = _events(job, include_usage=body.include_usage)
        return StreamingResponse(events, media_type="text/event-stream", headers=_SSE_HEADERS)
    answer = await _unless_gone(request, _whole(job))
    return (
        Response(status_code=499) if answer is None else JSONResponse(answer)
    )  # 499 as nginx logs it: nobody reads it


async def _whole(job: _Job) -> dict[str, Any]:
    """The answer in one."""
    choices: list[list[Piece]] = [[] for _ in job.streams]
    async with aclosing(_merged(job.streams)) as merged:
        async for index, piece in merged:
            choices[index].append(piece)
    num_tokens = sum(len(piece.token_ids) for pieces in choices for piece in pieces)
    return job.form.whole(choices, usage=answers.usage(job.num_prompt_tokens, num_tokens))


async def _events(job: _Job, *, include_usage: bool) -> AsyncIterator[bytes]:
    """Server-sent events: the pieces of all choices as they come, the usage where it is asked for, and the end."""
    # Clients expect `usage` in every chunk once they ask for it; null until the last.
    extra = {"usage": None} if include_usage else {}
    num_tokens = 0
    try:
        for index in range(len(job.streams)):
            for chunk in job.form.opening(index):
                yield _event({**chunk, **extra})
        async with aclosing(_merged(job.streams)) as merged:
            async for index, piece in merged:
                num_tokens += len(piece.token_ids)
                for chunk in job.form.chunks(index, piece):
                    yield _event({**chunk, **extra})
        if include_usage:
            yield _event(job.form.closing(answers.usage(job.num_prompt_tokens, num_tokens)))
    except Exception as error:  # the status was sent long ago: the client learns it as an event
        problem = _problem(error)
        if problem is None:
            _log.exception("a stream broke off")
            problem = problems.internal("")
        yield _event(json.loads(bytes(problems.openai_response(problem).body)))
    yield b"data: [DONE]\n\n"


async def _merged(streams: Sequence[Pieces]) -> AsyncGenerator[tuple[int, Piece], None]:
    """The pieces of several streams with the stream's number, in the order in which they come."""
    waiting = {asyncio.ensure_future(anext(stream.__aiter__())): index for index, stream in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=waiting.__getitem__):
                index = waiting.pop(task)
                piece = task.result()
                yield index, piece
                if piece.finish_reason is None:
                    waiting[asyncio.ensure_future(anext(streams[index].__aiter__()))] = index
    finally:
        # First, and without waiting for anything: where the client has left, the next `await` is cancelled.
        for stream in streams:
            await stream.aclose()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


_Answer = TypeVar("_Answer")


async def _unless_gone(request: Request, answer: Awaitable[_Answer]) -> _Answer | None:
    """The answer, or None once the client has hung up: what is computed for nobody is broken off."""
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        gone.cancel()
        if work.cancel():
            with suppress(asyncio.CancelledError):
                await work


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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
