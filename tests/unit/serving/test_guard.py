"""Before an engine's own routes: who may call, how often, how much, how long, and what is told of failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from eagleray.serving import guard
from eagleray.serving.auth import Authority, NoAuth
from eagleray.spec.endpoint import EndpointSpec
from eagleray.store import keys
from eagleray.store.key_homes import StoredKeys
from eagleray.store.objects import open_storage

CHAT = "/v1/chat/completions"
BODY = {"model": "writer", "prompt": "hi"}
NOW = datetime.now(UTC)


class EngineError(Exception):
    """As Ray's OpenAIHTTPException."""

    def __init__(self, status_code: int, message: str) -> None:
        self.status_code, self.message = status_code, message


class QueueFull(Exception):
    """As Ray's BackPressureError."""


class Body(BaseModel):
    model: str
    prompt: str


def ready() -> bool:
    return True


def authority(auth: str, storage: str) -> Authority | NoAuth:
    objects = open_storage(storage, must_exist=True)
    return NoAuth() if auth == "none" else Authority(partial(keys.load, StoredKeys(objects)))


def build(storage: Path, *, is_ready: Any = ready, **endpoint: Any) -> FastAPI:
    """The application with routes like an engine's."""
    spec = EndpointSpec.model_validate_json(json.dumps(endpoint))
    engine = guard.Engine(is_ready, refused=EngineError, is_full=QueueFull)
    app = guard.build(spec, engine, partial(authority, spec.auth.type, str(storage)), identity="abc")

    @app.post(CHAT)
    async def chat(body: Body, request: Request) -> dict[str, Any]:
        return {"headers": dict(request.headers), "caller": request.state.caller}

    @app.post("/refuse/{status}")
    async def refuse(status: int) -> None:
        raise EngineError(status, "of the engine")

    @app.post("/full")
    async def full() -> None:
        raise QueueFull

    @app.post("/slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.post("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(_late())

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    return app


async def _late() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.sleep(0.5)
    yield b" last"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    open_storage(str(tmp_path / "storage")).put("present", b"")
    return tmp_path / "storage"


@pytest.fixture
def key(storage: Path) -> str:
    return keys.create(StoredKeys(open_storage(str(storage))), "laptop", now=NOW).text


@pytest.fixture
def client(storage: Path, key: str) -> Iterator[TestClient]:
    with TestClient(build(storage), headers={"Authorization": f"Bearer {key}"}) as found:
        yield found


@pytest.fixture(scope="module")
def anybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    storage = tmp_path_factory.mktemp("anybody") / "storage"
    open_storage(str(storage)).put("present", b"")
    with TestClient(build(storage)) as found:
        yield found


@pytest.mark.parametrize("path", [CHAT, "/forgotten", "/no-such-path", "/openapi.json", "/metrics", "//readyz"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "DELETE"])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Bearer {keys.PREFIX}{'0' * 43}", "Basic abc"])
def test_without_a_key_nothing_answers(anybody: TestClient, path: str, method: str, authorization: str | None) -> None:
    refused = anybody.request(method, path, headers={"Authorization": authorization} if authorization else {})

    assert refused.status_code == 401
    assert "secret" not in refused.text


@pytest.mark.parametrize("path", sorted(guard.OPEN))
def test_what_answers_anybody(anybody: TestClient, path: str) -> None:
    assert anybody.get(path).status_code == 200


def test_not_ready_while_the_engines_load(storage: Path) -> None:
    with TestClient(build(storage, is_ready=lambda: False)) as client:
        refused = client.get("/readyz")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_ready_says_which_endpoint_it_is(client: TestClient) -> None:
    assert client.get("/readyz").headers["eagleray-endpoint"] == "abc"


def test_no_websocket(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(CHAT):
        pass


def test_the_engine_learns_who_calls_and_never_the_key(client: TestClient, key: str) -> None:
    answer = client.post(CHAT, json=BODY, headers={"X-Session-Id": "7"})

    assert answer.json()["caller"] == "laptop"
    assert answer.json()["headers"]["x-session-id"] == "7"
    assert key not in answer.text


def test_a_key_without_the_scope(storage: Path) -> None:
    home = StoredKeys(open_storage(str(storage)))
    text = keys.create(home, "operator", now=NOW, scopes=("admin",)).text
    with TestClient(build(storage), headers={"Authorization": f"Bearer {text}"}) as client:
        assert client.post(CHAT, json=BODY).status_code == 403


def test_a_rate_counts_what_asks_a_model(storage: Path) -> None:
    home = StoredKeys(open_storage(str(storage)))
    text = keys.create(home, "slow", now=NOW, requests_per_minute=1).text
    with TestClient(build(storage), headers={"Authorization": f"Bearer {text}"}) as client:
        assert [client.get("/forgotten").status_code for _ in range(5)] == [200] * 5
        first, second = client.post(CHAT, json=BODY), client.post(CHAT, json=BODY)

    assert (first.status_code, second.status_code) == (200, 429)
    assert int(second.headers["retry-after"]) > 1
    assert second.json()["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param("/refuse/404", 404, "of the engine", id="refused"),
        pytest.param("/refuse/500", 500, "something went wrong here", id="broken"),
        pytest.param("/full", 429, "too many inputs wait already", id="full"),
    ],
)
def test_what_the_engine_says(client: TestClient, path: str, status: int, code: str) -> None:
    answer = client.post(path)
    assert answer.status_code == status
    assert code in answer.json()["detail"]
    assert ("of the engine" in answer.text) == (status == 404)


def test_a_wrong_body_is_400_and_not_repeated(client: TestClient) -> None:
    answer = client.post(CHAT, json={"model": "writer", "prompt": ["private"]})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "prompt"
    assert "private" not in answer.text


def test_a_body_too_large(storage: Path, key: str) -> None:
    app = build(storage, limits={"max_body_bytes": 50})
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.post(CHAT, json={**BODY, "prompt": "x" * 100}).status_code == 413


def test_an_answer_has_a_time_limit_and_a_stream_has_one_to_its_beginning(storage: Path, key: str) -> None:
    app = build(storage, limits={"request_timeout_s": 0.2})
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.post("/slow").status_code == 504
        assert client.post("/stream").text == "first last"


def test_without_keys_this_machine_alone(storage: Path) -> None:
    app = build(storage, auth={"type": "none"})
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.post(CHAT, json=BODY).status_code == 200
        assert client.post(CHAT, json=BODY, headers={"Host": "evil.example"}).status_code == 421
        assert client.post(CHAT, json=BODY, headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_page_may_ask_before_it_shows_a_key(storage: Path) -> None:
    origin = "https://page.example"
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with TestClient(build(storage, cors_origins=[origin])) as client:
        assert client.options(CHAT, headers=asked).headers["access-control-allow-origin"] == origin
        assert client.options(CHAT, headers={**asked, "Origin": "https://evil.example"}).status_code == 400
        assert client.post(CHAT, json=BODY, headers={"Origin": origin}).status_code == 401


def test_a_storage_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="nowhere"), TestClient(build(tmp_path / "nowhere")):
        pass
