"""What does one request get of its tokens: which pieces of text, and why does it end?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedTokenizerBase

from eagleray.serving.sampling import Draw, Likelihood
from eagleray.serving.streamed_text import Detokeniser, StopScanner, token_bytes

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What to continue, and how. Temperature 0 is greedy; without a seed every answer is another one."""

    input_ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_logprobs: int | None = None  # 0: that of the chosen tokens alone; None: none at all


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, the logarithm of its probability, and the likeliest tokens in its place."""

    token_id: int
    token: str
    bytes: bytes  # UTF-8, maybe a part of a character
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """The next part of an answer; the last has a `finish_reason`. The token that ends a text is in `token_ids`."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: FinishReason | None


class Continuation:
    """A request and its answer so far."""

    def __init__(
        self, request: GenerationRequest, *, tokenizer: PreTrainedTokenizerBase, end_ids: Collection[int]
    ) -> None:
        self.request = request
        self._tokenizer, self._end_ids = tokenizer, end_ids
        self._detokeniser, self._scanner = Detokeniser(tokenizer), StopScanner(request.stop)
        self._random = torch.Generator()
        if request.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(request.seed)
        self.num_tokens = 0  # so far
        self._token_ids: list[int] = []  # of the next piece
        self._logprobs: list[TokenLogprob] = []

    def draw(self) -> Draw:
        """How the next token is to be chosen."""
        if not self.request.temperature:
            return Draw()
        uniform = float(torch.rand((), generator=self._random))
        return Draw(temperature=self.request.temperature, top_p=self.request.top_p, uniform=uniform)

    def accept(self, token_id: int, likelihood: Likelihood | None) -> Piece | None:
        """Take the next token; a piece if there is text to send or this is the end."""
        self.num_tokens += 1
        self._token_ids.append(token_id)
        if token_id in self._end_ids:
            return self._piece(self._rest(), "stop")
        if likelihood is not None:
            self._logprobs.append(_described(self._tokenizer, token_id, likelihood))
        text, is_stopped = self._scanner.push(self._detokeniser.push(token_id))
        if is_stopped:
            return self._piece(text, "stop")
        if self.num_tokens == self.request.max_new_tokens:
            rest, is_stopped = self._last()
            return self._piece(text + rest, "stop" if is_stopped else "length")
        return self._piece(text, None) if text else None

    def _rest(self) -> str:
        return self._last()[0]

    def _last(self) -> tuple[str, bool]:
        """What was kept back, up to a stop string that its end may have completed; and whether it has."""
        text, is_stopped = self._scanner.push(self._detokeniser.finish())
        return (text, True) if is_stopped else (text + self._scanner.finish(), False)

    def _piece(self, text: str, finish_reason: FinishReason | None) -> Piece:
        piece = Piece(text, tuple(self._token_ids), tuple(self._logprobs), finish_reason)
        self._token_ids, self._logprobs = [], []
        return piece


def _described(tokenizer: PreTrainedTokenizerBase, token_id: int, likelihood: Likelihood) -> TokenLogprob:
    top = tuple(_token(tokenizer, other, logprob) for other, logprob in likelihood.top)
    return _token(tokenizer, token_id, likelihood.logprob, top)


def _token(
    tokenizer: PreTrainedTokenizerBase, token_id: int, logprob: float, top: tuple[TokenLogprob, ...] = ()
) -> TokenLogprob:
    return TokenLogprob(token_id, str(tokenizer.decode([token_id])), token_bytes(tokenizer, token_id), logprob, top)
