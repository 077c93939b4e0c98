"""OpenAI's routes: what they take, what they refuse, and in which form they answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from eagleray.serving.continuation import GenerationRequest, Piece
from eagleray.serving.generation import Generator
from eagleray.serving.openai import router
from eagleray.serving.text_rows import Stopped
from tests.support.text_models import TinyTextModel, tiny_generator

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "temperature": 0}
TEXT = {"model": "tiny", "prompt": "a fine", "max_tokens": 5, "temperature": 0}


@pytest.fixture(scope="module")
def generator() -> Iterator[Generator]:
    with tiny_generator(max_rows=4, max_streams=6) as generator:
        yield generator


@pytest.fixture
def client(generator: Generator) -> TestClient:
    return _client(TinyTextModel(generator))


def _client(provider: Any, *, timeout_s: float = 60) -> TestClient:
    app = FastAPI()
    app.include_router(router(provider, timeout_s=timeout_s))
    return TestClient(app)


def _events(content: str) -> list[dict[str, Any]]:
    *events, done, end = content.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_chat_is_answered(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json=CHAT).json()
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", "tiny")
    [choice] = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 5
    assert usage["total_tokens"] == usage["prompt_tokens"] + 5


def test_a_stream_says_what_the_whole_answer_says(client: TestClient) -> None:
    whole = client.post("/v1/chat/completions", json=CHAT).json()
    streamed = client.post(
        "/v1/chat/completions", json={**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    first, *chunks, last = _events(streamed.text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "length"
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert {chunk["usage"] for chunk in (first, *chunks)} == {None}


@pytest.mark.parametrize(
    ("prompt", "num_choices"),
    [("a fine", 1), (["a fine", "warm"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)],
    ids=["text", "texts", "tokens", "lists of tokens"],
)
def test_prompts_of_every_form(client: TestClient, prompt: Any, num_choices: int) -> None:
    body = {**TEXT, "prompt": prompt}
    answer = client.post("/v1/completions", json=body).json()
    assert [choice["index"] for choice in answer["choices"]] == list(range(num_choices))
    assert answer["usage"]["completion_tokens"] == 5 * num_choices
    texts = dict.fromkeys(range(num_choices), "")
    for event in _events(client.post("/v1/completions", json={**body, "stream": True}).text):
        texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert list(texts.values()) == [choice["text"] for choice in answer["choices"]]


def test_logprobs_of_both_routes(client: TestClient) -> None:
    chat = client.post("/v1/chat/completions", json={**CHAT, "logprobs": True, "top_logprobs": 2}).json()
    content = chat["choices"][0]["logprobs"]["content"]
    assert [len(token["top_logprobs"]) for token in content] == [2] * 5
    assert content[0]["token"] == content[0]["top_logprobs"][0]["token"]
    text = client.post("/v1/completions", json={**TEXT, "logprobs": 2}).json()["choices"][0]["logprobs"]
    assert {name: len(values) for name, values in text.items()} == dict.fromkeys(
        ["tokens", "token_logprobs", "top_logprobs", "text_offset"], 5
    )


@pytest.mark.parametrize(
    "more",
    [
        {"user": "u", "metadata": {"a": "b"}, "store": True},
        {"n": 1, "tools": [], "tool_choice": "auto", "response_format": {"type": "text"}, "presence_penalty": 0.0},
        {"stop": None, "seed": None, "logit_bias": None, "max_completion_tokens": None, "functions": None},
        {"stop": "x", "seed": 3, "top_p": 1, "temperature": 1},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "hi"}], "name": None}]},
    ],
    ids=["harmless", "as usual", "null", "numbers", "parts"],
)
def test_what_is_accepted(client: TestClient, more: dict[str, Any]) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, **more})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"audio": {}}, "audio"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"no_such_field": 1}, "no_such_field"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop.0"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 2**64}, "seed"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_what_is_refused_by_name(client: TestClient, more: dict[str, Any], param: str) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, **more})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert param in error["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(client: TestClient, number: str) -> None:
    content = json.dumps({**CHAT, "temperature": 123456}).replace("123456", number)
    answer = client.post("/v1/chat/completions", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("more", "status", "code", "words"),
    [
        ({"model": "gpt-5"}, 404, "model_not_found", "tiny"),
        ({"max_tokens": 101}, 400, "malformed", "101 new tokens are asked for, 100 are allowed"),
        ({"prompt": [1] * 100, "max_tokens": 50}, 400, "context_length_exceeded", "150 together: the model holds 128"),
        ({"prompt": ["a"] * 7, "max_tokens": 100}, 429, "overloaded", "try again"),
        ({"prompt": [99999]}, 400, "malformed", "99999"),
    ],
    ids=["unknown model", "too many new", "too long", "queue full", "unknown token"],
)
def test_refusals_of_the_model(client: TestClient, more: dict[str, Any], status: int, code: str, words: str) -> None:
    answer = client.post("/v1/completions", json={**TEXT, **more})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert words in error["message"]
    assert ("retry-after" in answer.headers) == (status == 429)


def test_one_refused_prompt_of_several_ends_the_others(client: TestClient, generator: Generator) -> None:
    client.post("/v1/completions", json={**TEXT, "prompt": ["a"] * 7, "max_tokens": 100})
    asyncio.run(asyncio.wait_for(_until_free(generator), 30))


def test_a_failure_in_mid_stream_is_an_event() -> None:
    async def pieces() -> AsyncIterator[Piece]:
        yield Piece("fine", (1,), (), None)
        raise Stopped("the model failed: RuntimeError")

    first, error = _events(_client(_Writer(pieces)).post("/v1/completions", json={**TEXT, "stream": True}).text)
    assert first["choices"][0]["text"] == "fine"
    assert error["error"]["type"] == "server_error"
    assert "the model failed" in error["error"]["message"]


class _Writer(TinyTextModel):
    """Writes what a test says."""

    max_length = None  # type: ignore[assignment]

    def __init__(self, write: Callable[[], AsyncIterator[Piece]]) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._write = write

    def generate(self, request: GenerationRequest) -> Any:
        return self._write()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_failure_before_the_first_piece_has_a_status(stream: bool) -> None:
    async def fail() -> AsyncIterator[Piece]:
        raise Stopped("the model failed: RuntimeError")
        yield

    model = _Writer(fail)
    answer = _client(model).post("/v1/completions", json={**TEXT, "stream": stream})
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
    assert answer.headers["retry-after"] == "1"
    assert model.counted == [("/v1/completions", 503)]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_an_answer_that_takes_too_long_is_ended(stream: bool) -> None:
    ended: list[bool] = []

    class Silence(AsyncIterator[Piece]):
        async def __anext__(self) -> Piece:
            await asyncio.Event().wait()
            raise AssertionError

        async def aclose(self) -> None:
            ended.append(True)

    model = _Writer(Silence)
    answer = _client(model, timeout_s=0.05).post("/v1/completions", json={**TEXT, "stream": stream})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timed_out")
    assert (ended, model.counted) == ([True], [("/v1/completions", 504)])


def test_a_stream_may_last_longer_than_an_answer() -> None:
    async def write() -> AsyncIterator[Piece]:
        yield Piece("fine", (1,), (), None)
        await asyncio.sleep(0.2)
        yield Piece("!", (2,), (), "stop")

    client = _client(_Writer(write), timeout_s=0.1)
    events = _events(client.post("/v1/completions", json={**TEXT, "stream": True}).text)
    assert "".join(event["choices"][0]["text"] for event in events) == "fine!"


def test_every_end_is_counted_once(generator: Generator) -> None:
    model = TinyTextModel(generator)
    client = _client(model)
    for path, body in (("/v1/chat/completions", CHAT), ("/v1/completions", TEXT)):
        for stream in (False, True):
            client.post(path, json={**body, "stream": stream})
            assert model.counted.pop() == (path, 200)
        client.post(path, json={**body, "model": "nobody", "stream": True})
        assert model.counted.pop() == (path, 404)
    assert model.counted == []


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_client_that_hangs_up_frees_its_row(stream: bool) -> None:
    """What it had asked for would take hours."""
    body = json.dumps({**TEXT, "max_tokens": 900_000, "stream": stream}).encode()

    async def hang_up() -> None:
        gone = asyncio.Event()
        requests = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            for message in requests:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body" and stream:
                gone.set()

        if not stream:
            asyncio.get_running_loop().call_later(0.01, gone.set)
        scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": [], "query_string": b""}
        await app(scope, receive, send)
        await _until_free(generator)
        await asyncio.sleep(0)
        assert model.counted == [("/v1/completions", 499)]

    with tiny_generator(positions=1_000_000) as generator:
        app = FastAPI()
        model = TinyTextModel(generator, max_new_tokens=900_000)
        app.include_router(router(model, timeout_s=60))
        asyncio.run(asyncio.wait_for(hang_up(), 30))


def test_the_documentation_has_the_bodies(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    schema = paths["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "messages" in schema["properties"]
    assert "$ref" not in json.dumps(schema)


async def _until_free(generator: Generator) -> None:
    while generator.num_streams:
        await asyncio.sleep(0.001)
