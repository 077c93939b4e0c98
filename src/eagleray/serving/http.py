"""The HTTP routes of an endpoint. They know a Service, an authority and an allowance; not Ray."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.security import HTTPBearer

import eagleray
from eagleray.serving import edge, openai, problems, protocol
from eagleray.serving.auth import Caller, require
from eagleray.serving.identity import HEADER as IDENTITY_HEADER
from eagleray.serving.limits import Allowance
from eagleray.serving.problems import ProblemError
from eagleray.serving.service import Service
from eagleray.serving.texts import ServedTexts
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.task import CausalLmSpec, TaskSpec

PLAYGROUND = Path(__file__).parent / "playground"
_DESCRIPTION = "Answers of fine-tuned models. Callers show a key: `Authorization: Bearer KEY`."


class Identify(Protocol):
    """Knows callers by what they show."""

    def identify(self, authorization: str | None) -> Caller:
        """The caller. Raises ProblemError."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the routes need of the process they run in; it is there once the models are."""

    service: Service
    authority: Identify
    allowance: Allowance
    metrics: Callable[[], Awaitable[str]]


def build(
    spec: EndpointSpec,
    tasks: Mapping[str, TaskSpec],
    runtime: Callable[[], Runtime],
    *,
    identity: str = "",
    echo_request_id: bool = True,
) -> FastAPI:
    """The application. `tasks` by the names that requests say; `runtime` is asked at each request.

    `identity` is what /readyz tells, so that who has started it knows it again.
    """
    # FastAPI's own pages load their scripts from elsewhere: the playground and openapi.json need no network.
    app = FastAPI(
        title="eagleray endpoint", version=eagleray.__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None
    )
    problems.install(app)
    allowed = Depends(_admission(runtime))
    app.include_router(_predictions(spec, dict(tasks), runtime, allowed))
    app.include_router(_facts(tasks, runtime, identity=identity))
    if any(isinstance(task, CausalLmSpec) for task in tasks.values()):
        texts = ServedTexts(lambda: runtime().service)
        app.include_router(openai.router(texts, timeout_s=spec.limits.request_timeout_s), dependencies=[allowed])
    edge.install(
        app,
        spec,
        echo_request_id=echo_request_id,
        refusal_s=lambda: runtime().service.refusal_s(),
        on_refused=lambda seconds: _count_refused(runtime().service, seconds),
    )
    return app


def _count_refused(service: Service, seconds: float) -> None:
    """Of no model: which one was asked stands in the body, which nobody has read."""
    service.telemetry.request(route="refused", status=429, model="", version="", seconds=seconds)


def _recognition(runtime: Callable[[], Runtime]) -> Callable[..., Awaitable[Caller]]:
    async def recognise(request: Request, _: Annotated[Any, Depends(HTTPBearer(auto_error=False))] = None) -> Caller:
        caller = runtime().authority.identify(request.headers.get("authorization"))
        request.state.caller = caller.name
        require(caller, "predict")
        return caller

    return recognise


def _admission(runtime: Callable[[], Runtime]) -> Callable[..., Awaitable[Caller]]:
    """As `_recognition`, and within the rate of the caller's key."""

    async def admit(caller: Annotated[Caller, Depends(_recognition(runtime))]) -> Caller:
        retry_after_s = await runtime().allowance.admit(caller)
        if retry_after_s is not None:
            raise ProblemError(problems.rate_limited(retry_after_s))
        return caller

    return admit


def _predictions(
    spec: EndpointSpec, tasks: dict[str, TaskSpec], runtime: Callable[[], Runtime], allowed: Any
) -> APIRouter:
    router = APIRouter(tags=["predict"], dependencies=[allowed])
    request_type, response_type = protocol.request_type(tasks), protocol.response_type(tasks)
    first = next(iter(tasks.values()))

    # Responses are made by us, from what a task says: checking them again would cost more than making them.
    @router.post("/v1/predict", response_model=None, responses={200: {"model": response_type}, **_PROBLEMS})
    async def predict(body: request_type, request: Request) -> dict[str, Any]:  # type: ignore[valid-type]
        """Answer one input, or a list of them in their order."""
        told: Any = body
        given = told.inputs if isinstance(told.inputs, list) else [told.inputs]
        name = told.model if told.model is not None else next(iter(tasks))
        rows = _rows(given, tasks.get(name, first))
        truncate = spec.limits.truncate if told.truncate is None else told.truncate
        found = await _predicted(spec, runtime().service, name, rows, truncate=truncate, request=request)
        return {"model": found["model"], "version": found["version"], "outputs": found["outputs"]}

    @router.post("/predict", response_model=None, responses={200: {"model": protocol.answer_type(first)}, **_PROBLEMS})
    async def predict_one(body: protocol.row_type(first), request: Request) -> dict[str, Any]:  # type: ignore[valid-type]
        """Answer one input by the first model: the simplest form."""
        rows = _rows([body], first)
        name = next(iter(tasks))
        found = await _predicted(spec, runtime().service, name, rows, truncate=spec.limits.truncate, request=request)
        output: dict[str, Any] = found["outputs"][0]
        return output

    return router


async def _predicted(
    spec: EndpointSpec,
    service: Service,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    truncate: bool,
    request: Request,
) -> dict[str, Any]:
    limits, began = spec.limits, time.perf_counter()
    if len(rows) > limits.max_inputs:
        raise ProblemError(problems.too_many_inputs(len(rows), limits.max_inputs))
    status, version = 500, ""
    try:
        async with asyncio.timeout(limits.request_timeout_s):
            found = await service.predict(name, rows, truncate=truncate, request_id=request.state.request_id)
        status, version = 200, str(found.version or "")
        return {"model": found.model, "version": found.version, "outputs": found.outputs}
    except TimeoutError:
        status = 504
        raise ProblemError(problems.timed_out(limits.request_timeout_s)) from None
    except ProblemError as error:
        status = error.problem.status
        raise
    finally:
        known = name if name in service.names else "unknown"
        seconds = time.perf_counter() - began
        service.telemetry.request(route=request.url.path, status=status, model=known, version=version, seconds=seconds)


def _rows(given: Sequence[Any], task: TaskSpec) -> list[dict[str, Any]]:
    return [_row(each, protocol.text_column(task)) for each in given]


def _row(given: Any, column: str | None) -> dict[str, Any]:
    if not isinstance(given, str):
        row: dict[str, Any] = given.model_dump(by_alias=True)
        return row
    if column is None:  # another model of this endpoint takes texts
        raise ProblemError(problems.malformed("this model does not take a text alone: give its columns"))
    return {column: given}


def _facts(tasks: Mapping[str, TaskSpec], runtime: Callable[[], Runtime], *, identity: str) -> APIRouter:
    router = APIRouter(tags=["facts"])

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """The process lives."""
        return "ok"

    @router.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "Not ready."}})
    async def readyz() -> PlainTextResponse:
        """Its models are loaded, warm, and have passed their golden sets: before that no replica is asked."""
        runtime()
        return PlainTextResponse("ready", headers={IDENTITY_HEADER: identity})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(authorization: Annotated[str | None, Header()] = None) -> PlainTextResponse:
        """What all replicas did, for Prometheus; the key needs the scope `admin`."""
        now = runtime()
        require(now.authority.identify(authorization), "admin")
        return PlainTextResponse(await now.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/v1/models", dependencies=[Depends(_recognition(runtime))])
    async def models() -> protocol.ModelList:
        """The models that answer here."""
        service = runtime().service
        desired = service.desired()
        return protocol.ModelList(
            data=tuple(
                protocol.ModelFacts(
                    id=name,
                    created=service.loaded_at(name),
                    task=tasks[name].type,
                    version=desired[name].stable if name in desired else None,
                    candidate=desired[name].candidate if name in desired else None,
                    columns=tasks[name].inputs,
                )
                for name in service.names
            )
        )

    @router.get("/", include_in_schema=False)
    async def playground() -> FileResponse:
        return FileResponse(PLAYGROUND / "index.html", media_type="text/html")

    return router


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {"schema": {"type": "object"}}}}
    for status, text in {
        400: "The body is not JSON.",
        401: "No key, or one that does not work.",
        403: "The key lacks the scope `predict`.",
        404: "There is no such model.",
        408: "The body came too slowly.",
        413: "The body is too large.",
        422: "The inputs are not what the model reads.",
        429: "Too many requests: see Retry-After.",
        500: "Something unforeseen: the log has it under the request id.",
        503: "Not now: see Retry-After.",
        504: "It took too long.",
    }.items()
}
