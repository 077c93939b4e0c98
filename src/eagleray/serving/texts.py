"""A hosted language model as OpenAI's routes take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eagleray.serving.generation import GenerationRequest, Generator, Stream
from eagleray.serving.loaded import Loaded


class HostedText:
    """One version of a language model that continues texts."""

    def __init__(self, name: str, loaded: Loaded, generator: Generator, *, max_new_tokens: int) -> None:
        self._name, self._loaded, self._generator = name, loaded, generator
        self._max_new_tokens = max_new_tokens

    @property
    def name(self) -> str:
        """What requests call it by."""
        return self._name

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
        return tuple(self._loaded.tokenise([row], max_length=NO_CUT)[0]["input_ids"])


NO_CUT = 2**31
"""What is too long for the model is refused by the generator, with the numbers; nothing is cut here."""
