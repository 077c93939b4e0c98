"""What may a request to OpenAI's routes say?

A field that changes the answer and is not supported is refused by its name: an answer that ignores it would be wrong
without anybody noticing. The value that means "as usual" (null, an empty list, n = 1) is accepted everywhere, for
clients send it. Fields that change nothing in an answer are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError, from_json

from eagleray.serving.problems import Mistake, ProblemError, malformed

HARMLESS = {
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
}
"""They say who asks or how it is billed and kept."""

UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "moderation": (),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "verbosity": (),
    "web_search_options": (),
}
"""They change the answer; the values that do not, besides null."""

_MAX_STOPS = 4
_MAX_PROMPTS = 128

Finite = Annotated[float, Field(allow_inf_nan=False)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
Text = Annotated[str, Field(max_length=10_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TextPart(_Body):
    """A part of a message; only text is read."""

    type: Literal["text"]
    text: Text


class ChatMessage(_Body):
    """What one side has said."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given

    @property
    def plain(self) -> dict[str, str]:
        """As chat templates read it; `developer` is the newer name of `system`."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Body):
    """Of a stream alone."""

    include_usage: bool = False
    include_obfuscation: bool = False  # padding against eavesdroppers: OpenAI's own; nothing is added here


class TextBody(_Body):
    """What both routes share."""

    model: Annotated[str, Field(min_length=1, max_length=300)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[Finite, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[Finite, Field(gt=0, le=1)] = 1.0
    stop: Annotated[list[Stop], Field(max_length=_MAX_STOPS)] = []
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for name, usual in UNSUPPORTED.items():
            if given.get(name) is not None and not any(_same(given[name], value) for value in usual):
                raise PydanticCustomError("unsupported", "`{name}` is not supported here: leave it out", {"name": name})
        dropped = HARMLESS | set(UNSUPPORTED)
        return {name: value for name, value in given.items() if name not in dropped and value is not None}

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @field_validator("stream_options")
    @classmethod
    def _of_a_stream(cls, given: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        if given is not None and not info.data.get("stream"):
            raise PydanticCustomError("stream_options", "`stream_options` needs `stream`: true")
        return given

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatBody(TextBody):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @field_validator("top_logprobs")
    @classmethod
    def _with_logprobs(cls, given: int | None, info: ValidationInfo) -> int | None:
        if given is not None and not info.data.get("logprobs"):
            raise PydanticCustomError("top_logprobs", "`top_logprobs` needs `logprobs`: true")
        return given

    @property
    def num_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def num_new_tokens(self) -> int | None:
        """None: as many as are allowed. `max_tokens` is the older name."""
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(TextBody):
    """POST /v1/completions."""

    prompt: Text | TokenIds | Annotated[list[Text] | list[TokenIds], Field(min_length=1, max_length=_MAX_PROMPTS)]
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each is answered by a choice of its own."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def num_new_tokens(self) -> int:
        """OpenAI's 16 where nothing is said."""
        return 16 if self.max_tokens is None else self.max_tokens


Body = TypeVar("Body", bound=TextBody)


def parse(body_class: type[Body], content: bytes) -> Body:
    """The body of a request.

    Raises:
        ProblemError: it is not JSON, or not what the route takes; 400, as OpenAI answers.
    """
    try:
        given = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise ProblemError(malformed(f"the body is not JSON: {error}", status=400)) from None
    try:
        return body_class.model_validate(given)
    except ValidationError as error:
        mistakes = [_mistake(each) for each in error.errors(include_url=False, include_input=False)]
        first = mistakes[0]
        detail = f"{first.place}: {first.message}" if first.place else first.message
        raise ProblemError(malformed(detail, mistakes, status=400)) from None


def schema(body: type[TextBody]) -> dict[str, Any]:
    """JSON schema with everything in place: FastAPI does not gather the definitions of an extra."""
    found = body.model_json_schema()
    definitions = found.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict) and "$ref" in node:
            return resolved(definitions[node["$ref"].rpartition("/")[2]])
        if isinstance(node, dict):
            return {name: resolved(value) for name, value in node.items()}
        return [resolved(value) for value in node] if isinstance(node, list) else node

    return dict(resolved(found))


def _mistake(error: Mapping[str, Any]) -> Mistake:
    if error["type"] == "unsupported":
        return Mistake(error["ctx"]["name"], error["msg"])
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return Mistake(place, "is not a field that is known here: leave it out")
    return Mistake(place, error["msg"])


def _same(given: Any, value: Any) -> bool:
    """Equal, and of the same kind: `true` is not 1. A number may be written 0 or 0.0."""
    return given == value and isinstance(given, bool) == isinstance(value, bool)
