"""The language models of a service, as OpenAI's routes take them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from eagleray.serving.continuation import GenerationRequest
from eagleray.serving.generation import Generator
from eagleray.serving.loaded import Loaded
from eagleray.serving.openai import TextModel, Written
from eagleray.serving.problems import ProblemError, malformed
from eagleray.serving.service import Service
from eagleray.serving.text_rows import Stream
from eagleray.serving.versions import Hosted


class HostedText:
    """One version of a language model that continues texts."""

    def __init__(self, loaded: Loaded, generator: Generator, *, max_new_tokens: int) -> None:
        self._loaded, self._generator = loaded, generator
        self._max_new_tokens = max_new_tokens

    @property
    def max_new_tokens(self) -> int:
        """The most that a request may ask for."""
        return self._max_new_tokens

    @property
    def max_length(self) -> int | None:
        """Tokens of prompt and answer together."""
        return self._generator.max_length

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """A conversation up to where the assistant speaks."""
        return self._ids({"context": list(messages)})

    def encode(self, prompt: str) -> tuple[int, ...]:
        """A text that is to be continued."""
        return self._ids({"prompt": prompt})

    def generate(self, request: GenerationRequest) -> Stream:
        """Begin to continue. Raises what `Generator.submit` raises."""
        return self._generator.submit(request)

    def _ids(self, row: dict[str, object]) -> tuple[int, ...]:
        return tuple(self._loaded.tokenise([self._loaded.cleaned(row)], max_length=NO_CUT)[0]["input_ids"])


class ServedTexts:
    """Those that are served, by name; `service` is asked at each request."""

    def __init__(self, service: Callable[[], Service]) -> None:
        self._service = service

    async def write(self, name: str, begin: Callable[[TextModel], Awaitable[Written]], *, request_id: str) -> Written:
        """An answer by the version whose turn it is. Raises ProblemError."""
        service = self._service()

        async def begun(hosted: Hosted) -> Written:
            if hosted.generator is None:
                raise ProblemError(malformed(f"model {name!r} generates no text: use /v1/predict", status=400))
            most = service.spec.limits.max_new_tokens
            return await begin(HostedText(hosted.loaded, hosted.generator, max_new_tokens=most))

        return await service.write(name, begun, request_id=request_id)

    def count(self, name: str, *, route: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        service = self._service()
        model = name if name in service.names else "unknown"
        service.telemetry.request(route=route, status=status, model=model, version="", seconds=seconds)


NO_CUT = 2**31
"""What is too long for the model is refused by the generator, with the numbers; nothing is cut here."""
