"""Every refusal has one form, and OpenAI's on the routes of its API; none says what is inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from starlette.testclient import TestClient

from eagleray.serving import problems
from eagleray.serving.problems import Mistake, Problem, ProblemError


class _Body(BaseModel):
    texts: list[str]


def _app(problem: Problem) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.post("/predict")
    @app.post("/v1/completions")
    async def predict(body: _Body) -> None: ...

    @app.get("/problem")
    @app.get("/v1/models/m")
    @app.get("/v1/chat/completions")
    async def refuse() -> None:
        raise ProblemError(problem)

    @app.get("/http")
    async def http() -> None:
        raise HTTPException(418, "no coffee", headers={"X-Pot": "tea"})

    @app.get("/bug")
    @app.get("/v1/completions/bug")
    async def bug() -> None:
        raise RuntimeError("the secret is 42")

    return app


def _client(problem: Problem | None = None) -> TestClient:
    return TestClient(_app(problem or problems.unauthorized()), raise_server_exceptions=False)


CASES: list[Any] = [
    pytest.param(problems.too_large(10), 413, "invalid_request_error", None, "too_large", id="too-large"),
    pytest.param(problems.too_slow(1.5), 408, "invalid_request_error", None, "too_slow", id="too-slow"),
    pytest.param(problems.too_many_inputs(300, 256), 422, "invalid_request_error", None, "too_many_inputs", id="many"),
    pytest.param(problems.too_long(600, 512), 422, "invalid_request_error", None, "context_length_exceeded", id="long"),
    pytest.param(problems.unauthorized(), 401, "authentication_error", None, "invalid_api_key", id="unauthorized"),
    pytest.param(problems.forbidden("admin"), 403, "permission_error", None, "forbidden", id="forbidden"),
    pytest.param(
        problems.unknown_model("x", ["b", "a"]), 404, "invalid_request_error", "model", "model_not_found", id="model"
    ),
    pytest.param(problems.overloaded(0.2), 429, "rate_limit_error", None, "overloaded", id="overloaded"),
    pytest.param(problems.rate_limited(2.1), 429, "rate_limit_error", None, "rate_limit_exceeded", id="rate-limited"),
    pytest.param(problems.unavailable("not now", 5), 503, "server_error", None, "unavailable", id="unavailable"),
    pytest.param(problems.timed_out(30), 504, "server_error", None, "timed_out", id="timed-out"),
    pytest.param(
        problems.malformed("wrong", [Mistake("texts.0", "no text")]),
        422,
        "invalid_request_error",
        "texts.0",
        "malformed",
        id="malformed",
    ),
    pytest.param(problems.internal("r-1"), 500, "server_error", None, "internal", id="internal"),
]


@pytest.mark.parametrize(("problem", "status", "kind", "param", "code"), CASES)
def test_both_forms(problem: Problem, status: int, kind: str, param: str | None, code: str) -> None:
    client = _client(problem)
    answer = client.get("/problem")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    body = answer.json()
    assert {key: body[key] for key in ("type", "title", "status", "detail")} == {
        "type": problem.type,
        "title": problem.title,
        "status": status,
        "detail": problem.detail,
    }
    assert {key: body[key] for key in problem.extras} == dict(problem.extras)
    assert all(answer.headers[name] == value for name, value in problem.headers.items())
    for path in ("/v1/models/m", "/v1/chat/completions"):
        openai = client.get(path)
        assert (openai.status_code, openai.headers["content-type"]) == (status, "application/json")
        assert openai.json() == {"error": {"message": problem.detail, "type": kind, "param": param, "code": code}}
        assert all(openai.headers[name] == value for name, value in problem.headers.items())


@pytest.mark.parametrize(
    ("problem", "header", "value"),
    [
        (problems.unauthorized(), "WWW-Authenticate", "Bearer"),
        (problems.overloaded(0.2), "Retry-After", "1"),
        (problems.rate_limited(2.1), "Retry-After", "3"),
        (problems.too_large(1), "Connection", "close"),
    ],
)
def test_headers(problem: Problem, header: str, value: str) -> None:
    assert problem.headers[header] == value


@pytest.mark.parametrize(
    ("body", "status", "errors"),
    [
        pytest.param(
            '{"texts": ["a", 3, "b", null]}',
            422,
            [("texts.1", "Input should be a valid string"), ("texts.3", "Input should be a valid string")],
            id="values",
        ),
        pytest.param("{}", 422, [("texts", "Field required")], id="missing"),
        pytest.param('{"secret-7"', 400, [("11", "JSON decode error")], id="no-json"),
    ],
)
def test_a_body_that_is_wrong(body: str, status: int, errors: list[tuple[str, str]]) -> None:
    client, headers = _client(), {"content-type": "application/json"}
    answer = client.post("/predict", content=body, headers=headers)
    assert answer.status_code == status
    assert [(each["place"], each["message"]) for each in answer.json()["errors"]] == errors
    assert "secret-7" not in answer.text
    openai = client.post("/v1/completions", content=body, headers=headers)
    assert (openai.status_code, openai.json()["error"]["param"]) == (status, errors[0][0])


def test_of_many_mistakes_the_first_are_told() -> None:
    answer = _client().post("/predict", json={"texts": [1] * 500})
    assert len(answer.json()["errors"]) == 20


def test_http_exceptions() -> None:
    answer = _client().get("/http")
    assert answer.json() == {"type": "about:blank", "title": "I'm a Teapot", "status": 418, "detail": "no coffee"}
    assert answer.headers["x-pot"] == "tea"
    assert (_client().get("/none").status_code, _client().get("/none").json()["title"]) == (404, "Not Found")
    wrong = _client().get("/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert _client().get("/v1/models/none").json()["error"]["code"] is None


@pytest.mark.parametrize("path", ["/bug", "/v1/completions/bug"])
def test_what_nobody_foresaw_stays_inside(path: str) -> None:
    answer = _client().get(path)
    assert answer.status_code == 500
    assert "42" not in answer.text
    assert "RuntimeError" not in answer.text


def test_extras_cannot_hide_the_status() -> None:
    problem = Problem(400, "t", "d", extras={"status": 200, "more": 1})
    assert json.loads(bytes(problems.response(problem).body)) == {
        "type": "about:blank",
        "title": "t",
        "status": 400,
        "detail": "d",
        "more": 1,
    }
