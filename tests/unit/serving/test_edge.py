"""What every request passes first: no handler sees a body too large or too slow, and each request has a line."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from eagleray.serving import problems
from eagleray.serving.edge import REFUSED_AFTER_S, Edge

LIMIT = 100


@dataclass
class Server:
    """What an ASGI server gives and gets. Where the messages end the client is silent, and for ever."""

    messages: list[Message]
    num_received: int = 0
    sent: list[Message] = field(default_factory=list)

    async def receive(self) -> Message:
        if self.num_received == len(self.messages):
            await asyncio.Event().wait()
        self.num_received += 1
        return self.messages[self.num_received - 1]

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


@dataclass
class App:
    """Reads a body and says how long it was."""

    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.bodies.append(message["body"])
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"of-the-app")]})
        await send({"type": "http.response.body", "body": str(len(message["body"])).encode()})


def _pieces(*pieces: bytes, ends: bool = True) -> list[Message]:
    last = len(pieces) - 1
    return [
        {"type": "http.request", "body": piece, "more_body": not (ends and each == last)}
        for each, piece in enumerate(pieces)
    ]


def _scope(path: str = "/predict", headers: Iterable[tuple[bytes, bytes]] = ()) -> Scope:
    return {"type": "http", "method": "POST", "path": path, "headers": list(headers)}


def _ask(messages: list[Message], scope: Scope | None = None, **options: Any) -> tuple[Server, App]:
    server, app = Server(messages), App()
    edge = Edge(app, **{"max_body_bytes": LIMIT, "body_timeout_s": 0.02, **options})
    asyncio.run(edge(scope or _scope(), server.receive, server.send))
    return server, app


def _length(given: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", given)]


@pytest.mark.parametrize(
    ("messages", "headers", "status", "num_received"),
    [
        pytest.param(_pieces(b"x" * 100), _length(b"100"), 200, 1, id="at-the-limit"),
        pytest.param(_pieces(b"x" * 40, b"y" * 40, b"z" * 20), [], 200, 3, id="pieces"),
        pytest.param(_pieces(b""), [], 200, 1, id="empty"),
        pytest.param([{"type": "http.request"}], [], 200, 1, id="nothing-said"),
        pytest.param(_pieces(b"x" * 101), _length(b"101"), 413, 0, id="announced"),
        pytest.param(_pieces(b"x" * 101), _length(b"9" * 5000), 413, 1, id="announced-beyond-numbers"),
        pytest.param(_pieces(b"x" * 101), _length(b"5"), 413, 1, id="announced-less"),
        pytest.param(_pieces(b"x" * 101), _length(b"-5"), 413, 1, id="announced-nonsense"),
        pytest.param(_pieces(*[b"x" * 60] * 9), [], 413, 2, id="read-no-further"),
        pytest.param(_pieces(b"x", ends=False), [], 408, 1, id="slow"),
        pytest.param([], [], 408, 0, id="silent"),
        pytest.param([*_pieces(b"x", ends=False), {"type": "http.disconnect"}], [], None, 2, id="left"),
    ],
)
def test_bodies(
    messages: list[Message], headers: list[tuple[bytes, bytes]], status: int | None, num_received: int
) -> None:
    server, app = _ask(messages, _scope(headers=headers))
    assert (server.status, server.num_received) == (status, num_received)
    expected = b"".join(message.get("body", b"") for message in messages)
    assert app.bodies == ([expected] if status == 200 else [])
    if status in (408, 413):
        assert server.headers[b"content-type"] == b"application/problem+json"
        assert server.headers[b"connection"] == b"close"


@pytest.mark.parametrize(
    ("method", "refusal_s", "status"),
    [("POST", 3.2, 429), ("POST", None, 200), ("GET", 3.2, 200)],
    ids=["busy", "not-busy", "asks-how-it-is"],
)
def test_what_cannot_be_answered_now_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, method: str, refusal_s: float | None, status: int
) -> None:
    monkeypatch.setattr("eagleray.serving.edge.REFUSED_AFTER_S", 0.0)
    server, app = _ask(_pieces(b"x"), {**_scope(), "method": method}, refusal_s=lambda: refusal_s)

    assert server.status == status
    assert (server.num_received, app.bodies) == ((0, []) if status == 429 else (1, [b"x"]))
    if status == 429:
        assert server.headers[b"retry-after"] == b"4"


def test_a_refusal_is_not_told_at_once_and_counted_with_its_pause() -> None:
    counted: list[float] = []
    began = time.perf_counter()
    _ask(_pieces(b"x"), refusal_s=lambda: 1.0, on_refused=counted.append)

    assert time.perf_counter() - began >= REFUSED_AFTER_S
    assert len(counted) == 1
    assert counted[0] >= REFUSED_AFTER_S


def test_what_is_answered_is_no_refusal() -> None:
    counted: list[float] = []
    _ask(_pieces(b"x"), on_refused=counted.append)

    assert counted == []


def test_openais_routes_get_openais_form() -> None:
    server, _ = _ask(_pieces(b"x" * 101), _scope("/v1/chat/completions"))
    assert json.loads(server.sent[1]["body"])["error"]["code"] == "too_large"


def test_after_the_body_the_client_may_leave() -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([await receive(), await receive()])

    server = Server([*_pieces(b"a", b"b"), {"type": "http.disconnect"}])
    asyncio.run(Edge(app, max_body_bytes=LIMIT)(_scope(), server.receive, server.send))
    assert seen == [{"type": "http.request", "body": b"ab", "more_body": False}, {"type": "http.disconnect"}]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_than_http_passes_as_it_is(kind: str) -> None:
    seen: list[object] = []

    async def app(*given: object) -> None:
        seen.extend(given)

    server = Server([])
    given = ({"type": kind}, server.receive, server.send)
    asyncio.run(Edge(app, max_body_bytes=LIMIT)(*given))
    assert seen == list(given)


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        pytest.param(b"req-1_~!", True, id="sane"),
        pytest.param(b"x" * 128, True, id="longest"),
        pytest.param(b"x" * 129, False, id="too-long"),
        pytest.param(b"", False, id="empty"),
        pytest.param(b"a b", False, id="space"),
        pytest.param(b"a\nb", False, id="line-end"),
        pytest.param(b"a\n", False, id="line-end-last"),
        pytest.param(b"\xe9", False, id="not-ascii"),
        pytest.param(None, False, id="none"),
    ],
)
def test_request_id(given: bytes | None, is_taken: bool) -> None:
    scope = _scope(headers=[] if given is None else [(b"x-request-id", given)])
    server, _ = _ask(_pieces(b""), scope)
    echoed = [value for name, value in server.sent[0]["headers"] if name == b"x-request-id"]
    assert len(echoed) == 1
    assert scope["state"]["request_id"].encode() == echoed[0]
    assert (echoed[0] == given) is is_taken
    assert len(echoed[0]) == 32 or is_taken


def test_ids_that_are_made_differ() -> None:
    assert len({_ask(_pieces(b""))[0].headers[b"x-request-id"] for _ in range(5)}) == 5


def test_behind_a_proxy_that_echoes_the_id_it_is_left_alone() -> None:
    server, _ = _ask(_pieces(b""), _scope(headers=[(b"x-request-id", b"a")]), echo_request_id=False)
    assert server.headers == {b"x-request-id": b"of-the-app"}


class TestLog:
    @pytest.fixture(autouse=True)
    def _level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "eagleray.access")

    def _line(self, caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
        (record,) = (record for record in caplog.records if record.name == "eagleray.access")
        line: dict[str, Any] = json.loads(record.getMessage())
        return line

    def test_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        scope = _scope("/predict\n{}", [(b"x-request-id", b"r-1"), (b"authorization", b"Bearer er_secret")])
        scope |= {"query_string": b"key=er_secret", "state": {"caller": "alice"}}
        _ask(_pieces(b"er_", b"secret"), scope)
        line = self._line(caplog)
        assert list(line) == ["time", "request_id", "method", "path", "status", "ms", "caller", "bytes_in"]
        assert line["ms"] >= 0
        assert {**line, "time": "", "ms": 0} == {
            "time": "",
            "request_id": "r-1",
            "method": "POST",
            "path": "/predict\n{}",
            "status": 200,
            "ms": 0,
            "caller": "alice",
            "bytes_in": 9,
        }
        assert "secret" not in caplog.text
        assert "\n{}" not in caplog.text

    @pytest.mark.parametrize(
        ("messages", "status"),
        [(_pieces(b"x" * 101), 413), ([], 408), ([{"type": "http.disconnect"}], 499)],
        ids=["too-large", "slow", "left"],
    )
    def test_what_is_refused_has_one_too(
        self, caplog: pytest.LogCaptureFixture, messages: list[Message], status: int
    ) -> None:
        _ask(messages)
        line = self._line(caplog)
        assert (line["status"], line["caller"]) == (status, None)

    def test_bodies_where_that_is_wanted(self, caplog: pytest.LogCaptureFixture) -> None:
        _ask(_pieces(b"a\xff"), log_bodies=True)
        assert self._line(caplog)["body"] == "a\ufffd"


class TestFastApi:
    """With the middleware, the handlers of `problems` and an application, as a replica puts them together."""

    @pytest.fixture
    def client(self) -> TestClient:
        app = FastAPI()
        problems.install(app)
        app.add_middleware(Edge, max_body_bytes=LIMIT)

        @app.post("/echo")
        async def echo(request: Request, body: dict[str, str]) -> dict[str, Any]:
            request.state.caller = "alice"
            return {"id": request.state.request_id, **body}

        @app.get("/bug")
        async def bug() -> None:
            raise RuntimeError("the secret is 42")

        @app.get("/half")
        async def half() -> StreamingResponse:
            async def pieces() -> Any:
                yield b"half"
                raise RuntimeError("the secret is 42")

            return StreamingResponse(pieces())

        return TestClient(app)

    def test_an_answer(self, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "eagleray.access")
        answer = client.post("/echo", json={"a": "b"}, headers={"X-Request-Id": "r-1"})
        assert answer.json() == {"id": "r-1", "a": "b"}
        assert answer.headers["x-request-id"] == "r-1"
        assert '"caller": "alice"' in caplog.text

    def test_a_body_that_is_too_large(self, client: TestClient) -> None:
        for content in (b"x" * 101, iter([b"x" * 60] * 2)):
            answer = client.post("/echo", content=content)
            assert (answer.status_code, answer.json()["limit_bytes"]) == (413, LIMIT)

    def test_an_unforeseen_exception(self, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
        answer = client.get("/bug", headers={"X-Request-Id": "r-1"})
        assert (answer.status_code, answer.json()["request_id"]) == (500, "r-1")
        assert answer.headers["x-request-id"] == "r-1"
        assert "42" not in answer.text
        assert "request r-1 failed" in caplog.text
        assert "the secret is 42" in caplog.text

    def test_half_an_answer_ends_with_the_connection(self, client: TestClient) -> None:
        with pytest.raises(RuntimeError):
            client.get("/half")
