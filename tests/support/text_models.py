"""A language model as OpenAI's routes need one, around a tiny random decoder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from eagleray.serving import problems, streams
from eagleray.serving.continuation import GenerationRequest
from eagleray.serving.generation import Generator
from eagleray.serving.openai import TextModel, Written
from eagleray.serving.text_rows import Stream
from eagleray.tasks import chat_template
from tests.support import tiny_models

TOKENIZER = tiny_models.decoder_tokenizer()


@dataclass
class TinyTextModel:
    """Also the provider of itself."""

    generator: Generator
    name: str = "tiny"
    max_new_tokens: int = 100
    counted: list[tuple[str, int]] = field(default_factory=list)

    @property
    def max_length(self) -> int | None:
        return self.generator.max_length

    async def write(self, name: str, begin: Callable[[TextModel], Awaitable[Written]], *, request_id: str) -> Written:
        if name != self.name:
            raise problems.ProblemError(problems.unknown_model(name, [self.name]))
        return await streams.begun(await begin(self))

    def count(self, name: str, *, route: str, status: int, seconds: float) -> None:
        self.counted.append((route, status))

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        return tuple(chat_template.prompt_ids(TOKENIZER, [dict(message) for message in messages]))

    def encode(self, prompt: str) -> tuple[int, ...]:
        return tuple(TOKENIZER(prompt)["input_ids"])

    def generate(self, request: GenerationRequest) -> Stream:
        return self.generator.submit(request)


@contextmanager
def tiny_generator(*, positions: int = tiny_models.POSITIONS, **settings: Any) -> Iterator[Generator]:
    """One that never ends a text by itself."""
    model = tiny_models.decoder("llama", vocab_size=len(TOKENIZER))
    model.config.max_position_embeddings = positions  # rotary positions have no end
    generator = Generator(model, TOKENIZER, **{"end_ids": [], **settings})
    try:
        yield generator
    finally:
        generator.close()
