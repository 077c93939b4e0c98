"""How are many texts continued at once by one model (continuous batching)?

One thread owns the model. It alternates between reading prompts that wait and giving every row that is being continued
its next token; rows join and leave between those steps. Requests and pieces cross between it and the event loops.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Collection
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from eagleray.errors import UserError
from eagleray.serving import batching, sampling
from eagleray.serving.continuation import Continuation, GenerationRequest
from eagleray.serving.decoder import Decoder, Prompts
from eagleray.serving.text_rows import QueueFull, Row, Stopped, Stream, TooLong

_MAX_PADDING = 0.3  # share of padding among prompts read together: of short ones the weights cost more than the tokens

_log = logging.getLogger(__name__)


class ObserveText(Protocol):
    """Told of each text that is over, those included that nobody waits for any more."""

    def __call__(self, *, num_read: int, num_generated: int) -> None:
        """In tokens."""


class Generator:
    """A decoder that continues many texts at once. `submit` may be called from any event loop."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_rows: int = 16,
        max_streams: int = 32,
        max_length: int | None = None,
        end_ids: Collection[int] | None = None,
        observe: ObserveText | None = None,
    ) -> None:
        """`max_rows` texts are continued at once, `max_streams` are taken in, those that wait included. Prompt and
        answer have at most `max_length` tokens, by default and at most the model's positions. `end_ids` end a text,
        by default those of the model's generation config.

        Raises:
            ModelSourceError: the model is no decoder with attention in every layer.
        """
        self._decoder = Decoder(model, max_rows=min(max_rows, max_streams))
        self._tokenizer, self._max_streams, self._observe = tokenizer, max_streams, observe
        limits = [limit for limit in (max_length, self._decoder.max_length) if limit is not None]
        self.max_length: int | None = min(limits, default=None)
        self.end_ids = frozenset(_end_ids(model, tokenizer) if end_ids is None else end_ids)
        self._changed = threading.Condition()
        self._waiting: deque[Row] = deque()
        self._num_streams = 0
        self._seconds_per_stream = 1.0  # running mean, for Retry-After
        self._stopped: Stopped | None = None
        # Of the model thread alone:
        self._rows: list[Row] = []  # in the order of the decoder's
        self._joining: tuple[Prompts, list[Row]] | None = None
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self._thread.start()

    @property
    def num_streams(self) -> int:
        """Texts that are being continued or wait."""
        return self._num_streams

    @property
    def num_waiting(self) -> int:
        """Texts whose prompts nobody has begun to read."""
        return len(self._waiting)

    def submit(self, request: GenerationRequest) -> Stream:
        """Continue a text. Must be called in a running event loop, which then reads the pieces.

        Raises:
            QueueFull: too many are on their way already.
            TooLong: the model has too few positions.
            UserError: the prompt is empty, or has tokens that the model does not know.
            Stopped: the generator is closed.
        """
        self._check(request)
        continuation = Continuation(request, tokenizer=self._tokenizer, end_ids=self.end_ids)
        row = Row(continuation, asyncio.get_running_loop())
        with self._changed:
            if self._stopped is not None:
                raise self._stopped
            if self._num_streams >= self._max_streams:
                raise QueueFull(max(1.0, self._seconds_per_stream * (len(self._waiting) + 1) / self._decoder.max_rows))
            self._num_streams += 1
            self._waiting.append(row)
            self._changed.notify()
        return Stream(row)

    def close(self) -> None:
        """End the thread after its current step; unfinished streams raise `Stopped`."""
        self._stop(Stopped("the server stops"))
        self._thread.join()

    def _check(self, request: GenerationRequest) -> None:
        prompt = len(request.input_ids)
        if not prompt:
            raise UserError("the prompt has no tokens: give at least one")
        if self.max_length is not None and prompt + request.max_new_tokens > self.max_length:
            raise TooLong(prompt=prompt, new=request.max_new_tokens, limit=self.max_length)
        unknown = [token for token in request.input_ids if not 0 <= token < self._decoder.vocabulary_size]
        if unknown:
            raise UserError(
                f"token {unknown[0]} is none of the model's, which are 0 to {self._decoder.vocabulary_size - 1}"
            )

    def _stop(self, reason: Stopped) -> None:
        with self._changed:
            self._stopped = self._stopped or reason
            self._changed.notify()

    def _run(self) -> None:
        try:
            while self._has_work():
                self._drop_given_up()
                self._read_prompts()
                self._step()
        except Exception as error:
            _log.exception("generation has failed and takes no more requests")
            self._stop(Stopped(f"generation has failed: {type(error).__name__}"))
        finally:
            self._end_all()

    def _has_work(self) -> bool:
        """Wait for something to do; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._waiting or self._joining or self._rows)
            return self._stopped is None

    def _drop_given_up(self) -> None:
        for index in reversed(range(len(self._rows))):
            if self._rows[index].is_given_up:
                self._remove(index)
        with self._changed:
            given_up = [row for row in self._waiting if row.is_given_up]
            for row in given_up:
                self._waiting.remove(row)
        self._release(given_up)
        if self._joining is not None and all(row.is_given_up for row in self._joining[1]):
            self._release(self._joining[1])
            self._joining = None

    def _read_prompts(self) -> None:
        """Read a chunk of the prompts next in turn; after the last, their rows get their first tokens."""
        rows = self._next_rows() if self._joining is None else self._joining[1]
        if not rows:
            return
        try:
            if self._joining is None:
                self._joining = self._decoder.prepare([row.continuation.request.input_ids for row in rows]), rows
            prompts, _ = self._joining
            logits = self._decoder.read(prompts)
        except Exception as error:  # belongs to these rows: the others go on
            self._joining = None
            self._fail(rows, error)
            return
        if logits is not None:
            self._joining = None
            first = len(self._rows)
            self._rows += rows
            self._distribute(logits, first=first)

    def _next_rows(self) -> list[Row]:
        """Those that wait and are to be read together; none where there is no room."""
        free = self._decoder.max_rows - len(self._rows)
        with self._changed:
            if not free or not self._waiting:
                return []
            chosen = batching.choose(
                [len(row.continuation.request.input_ids) for row in self._waiting],
                max_size=free,
                max_tokens=self._decoder.chunk_tokens,
                max_padding=_MAX_PADDING,
            )
            rows = [self._waiting[index] for index in chosen]
            for row in rows:
                self._waiting.remove(row)
        return rows

    def _step(self) -> None:
        """One token more for every row."""
        if not self._rows:
            return
        try:
            logits = self._decoder.step([row.last_token for row in self._rows])
        except Exception as error:  # out of memory, say: the next requests may fit
            rows, self._rows = self._rows, []
            self._decoder.clear()
            self._fail(rows, error)
            return
        self._distribute(logits, first=0)

    @torch.inference_mode()
    def _distribute(self, logits: torch.Tensor, *, first: int) -> None:
        """Choose a token for each of the rows from `first` on, send what it says, and let go those that are done."""
        rows = self._rows[first:]
        tokens = sampling.choose(logits, [row.continuation.draw() for row in rows])
        tops = [row.continuation.request.top_logprobs for row in rows]
        likelihoods = sampling.likelihoods(logits, tokens, tops)
        are_finite = sampling.are_finite(logits)
        for index in reversed(range(len(rows))):
            row, token = rows[index], tokens[index]
            if not are_finite[index]:
                row.send(Stopped("the model's output is not finite"))
                self._remove(first + index)
                continue
            row.last_token = token
            piece = row.continuation.accept(token, likelihoods[index])
            if piece is not None:
                row.send(piece)
            if piece is not None and piece.finish_reason is not None:
                self._remove(first + index)

    def _remove(self, index: int) -> None:
        """Free a row; the last one takes its place, here as in the decoder."""
        self._decoder.leave(index)
        row, last = self._rows[index], self._rows.pop()
        if row is not last:
            self._rows[index] = last
        if self._observe is not None:
            text = row.continuation
            self._observe(num_read=len(text.request.input_ids), num_generated=text.num_tokens)
        self._seconds_per_stream += 0.1 * (time.monotonic() - row.since - self._seconds_per_stream)
        self._release([row])

    def _release(self, rows: list[Row]) -> None:
        with self._changed:
            self._num_streams -= len(rows)

    def _fail(self, rows: list[Row], error: Exception) -> None:
        _log.error("the model failed on %d rows", len(rows), exc_info=error)
        for row in rows:
            row.send(Stopped(f"the model failed: {type(error).__name__}"))
        self._release(rows)

    def _end_all(self) -> None:
        with self._changed:
            joining = [] if self._joining is None else self._joining[1]
            rows = [*self._rows, *joining, *self._waiting]
            self._waiting.clear()
            self._num_streams = 0
        self._rows, self._joining = [], None
        self._decoder.clear()
        for row in rows:
            row.send(self._stopped or Stopped("the server stops"))


def _end_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the model's generation config names, else the tokenizer's end of text."""
    config = getattr(model, "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    if named is None:
        named = tokenizer.eos_token_id
    if named is None:
        return []
    return list(named) if isinstance(named, list | tuple) else [named]
