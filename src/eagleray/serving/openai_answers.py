"""In which form do OpenAI's routes answer?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from eagleray.serving.continuation import FinishReason, Piece, TokenLogprob

_NEVER = -9999.0  # what OpenAI says for a probability of 0: JSON has no infinity


def usage(num_prompt: int, num_completion: int) -> dict[str, int]:
    """Tokens given and made."""
    total = num_prompt + num_completion
    return {"prompt_tokens": num_prompt, "completion_tokens": num_completion, "total_tokens": total}


@dataclass(slots=True)
class Form:
    """An answer of one of the routes, whole or in chunks. It belongs to one request."""

    prefix: ClassVar[str]
    object_whole: ClassVar[str]
    object_chunk: ClassVar[str]

    identity: str
    created: int  # Unix time
    model: str

    def whole(self, choices: Sequence[Sequence[Piece]], *, usage: dict[str, int]) -> dict[str, Any]:
        """The answer in one."""
        bodies = [self._whole_choice(index, pieces) for index, pieces in enumerate(choices)]
        return {**self._head(self.object_whole), "choices": bodies, "usage": usage}

    def opening(self, index: int) -> Iterator[dict[str, Any]]:
        """Chunks before the first piece of a choice."""
        yield from ()

    def chunks(self, index: int, piece: Piece) -> Iterator[dict[str, Any]]:
        """Chunks of a piece."""
        yield self._chunk(self._chunk_choice(index, piece))

    def closing(self, usage: dict[str, int]) -> dict[str, Any]:
        """The last chunk, where the usage is asked for."""
        return {**self._head(self.object_chunk), "choices": [], "usage": usage}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._head(self.object_chunk), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.identity, "object": kind, "created": self.created, "model": self.model}

    def _whole_choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        raise NotImplementedError

    def _chunk_choice(self, index: int, piece: Piece) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(slots=True)
class Chat(Form):
    """`/v1/chat/completions`."""

    prefix = "chatcmpl"
    object_whole = "chat.completion"
    object_chunk = "chat.completion.chunk"

    def opening(self, index: int) -> Iterator[dict[str, Any]]:
        yield self._chunk(_chat_choice(index, {"role": "assistant", "content": ""}))

    def _whole_choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        message = {"role": "assistant", "content": _text(pieces), "refusal": None}
        logprobs = [token for piece in pieces for token in piece.logprobs]
        return {
            "index": index,
            "message": message,
            "logprobs": _chat_logprobs(logprobs),
            "finish_reason": _reason(pieces),
        }

    def _chunk_choice(self, index: int, piece: Piece) -> dict[str, Any]:
        delta = {"content": piece.text} if piece.text else {}
        return _chat_choice(index, delta, logprobs=piece.logprobs, finish_reason=piece.finish_reason)


@dataclass(slots=True)
class Completion(Form):
    """`/v1/completions`."""

    prefix = "cmpl"
    object_whole = "text_completion"
    object_chunk = "text_completion"

    _offsets: dict[int, int] = field(default_factory=dict)  # characters of each choice so far

    def _whole_choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        logprobs = [token for piece in pieces for token in piece.logprobs]
        return self._choice(index, _text(pieces), logprobs, _reason(pieces))

    def _chunk_choice(self, index: int, piece: Piece) -> dict[str, Any]:
        return self._choice(index, piece.text, piece.logprobs, piece.finish_reason)

    def _choice(
        self, index: int, text: str, logprobs: Sequence[TokenLogprob], finish_reason: FinishReason | None
    ) -> dict[str, Any]:
        described = _completion_logprobs(logprobs, offset=self._offsets.get(index, 0))
        self._offsets[index] = self._offsets.get(index, 0) + sum(len(token.token) for token in logprobs)
        return {"index": index, "text": text, "logprobs": described, "finish_reason": finish_reason}


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _reason(pieces: Sequence[Piece]) -> FinishReason | None:
    return pieces[-1].finish_reason if pieces else None


def _chat_choice(
    index: int,
    delta: dict[str, Any],
    *,
    logprobs: Sequence[TokenLogprob] = (),
    finish_reason: FinishReason | None = None,
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": _chat_logprobs(logprobs), "finish_reason": finish_reason}


def _chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    if not tokens:
        return None
    content = [{**_described(token), "top_logprobs": [_described(other) for other in token.top]} for token in tokens]
    return {"content": content, "refusal": None}


def _described(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": max(token.logprob, _NEVER), "bytes": list(token.bytes)}


def _completion_logprobs(tokens: Sequence[TokenLogprob], *, offset: int) -> dict[str, Any] | None:
    if not tokens:
        return None
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [max(token.logprob, _NEVER) for token in tokens],
        "top_logprobs": [{other.token: max(other.logprob, _NEVER) for other in token.top} for token in tokens],
        "text_offset": offsets,
    }
