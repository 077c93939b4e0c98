"""OpenAI's own client, unmodified, against a real server: what only its parsing and a real socket can show."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import openai
import pytest
import uvicorn
from fastapi import FastAPI

from eagleray.serving.generation import Generator
from eagleray.serving.openai import router
from tests.support.text_models import TinyTextModel, tiny_generator

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def generator() -> Iterator[Generator]:
    with tiny_generator(positions=1_000_000, max_rows=2) as generator:
        yield generator


@pytest.fixture(scope="module")
def client(generator: Generator) -> Iterator[openai.OpenAI]:
    app = FastAPI()
    app.include_router(router(TinyTextModel(generator, max_new_tokens=900_000), timeout_s=60))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        yield client
    server.should_exit = True
    thread.join()


def test_chat_whole_and_streamed(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": MESSAGES, "max_completion_tokens": 12, "temperature": 0.7, "seed": 1}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    assert whole.usage is not None and whole.usage.completion_tokens == 12
    assert whole.choices[0].logprobs is not None and whole.choices[0].logprobs.content is not None
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_completions_whole_and_streamed(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "prompt": ["a fine", "warm"], "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**asked, logprobs=1)
    texts = ["", ""]
    for chunk in client.completions.create(**asked, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in whole.choices]


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there is tiny"):
        client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="`tools` is not supported"):
        client.chat.completions.create(model="tiny", messages=MESSAGES, tools=[{"type": "function"}])


def test_a_stream_that_is_left_frees_its_row(client: openai.OpenAI, generator: Generator) -> None:
    stream = client.completions.create(model="tiny", prompt="a", max_tokens=900_000, stream=True)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 20
    while generator.num_streams and time.monotonic() < deadline:
        time.sleep(0.005)
    assert generator.num_streams == 0
