"""How does a text that is being continued cross from the model's thread to the event loop that waits for it?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from eagleray.errors import UserError
from eagleray.serving import batching
from eagleray.serving.continuation import Continuation, Piece


class QueueFull(batching.Overloaded):
    """As many texts are being continued or wait as are allowed."""


class TooLong(UserError):
    """Prompt and answer have more tokens together than the model has positions."""

    def __init__(self, *, prompt: int, new: int, limit: int) -> None:
        self.num_tokens, self.limit = prompt + new, limit
        super().__init__(
            f"the prompt has {prompt} tokens and {new} more are asked for, {prompt + new} together: the model holds "
            f"{limit}. Shorten the prompt or ask for fewer"
        )


class Stopped(Exception):
    """The model stops before an answer is whole: the server shuts down, or the model failed."""


class Stream(AsyncIterator[Piece]):
    """The pieces of one answer. Closing it, or dropping it, ends the generation at the next step."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._is_over = False

    async def __anext__(self) -> Piece:
        if self._is_over:
            raise StopAsyncIteration
        item = await self._row.pieces.get()
        self._is_over = isinstance(item, Exception) or item.finish_reason is not None
        if isinstance(item, Exception):
            raise item
        return item

    async def aclose(self) -> None:
        """End the generation."""
        self._is_over = self._row.is_given_up = True

    def __del__(self) -> None:
        self._row.is_given_up = True


@dataclass(slots=True, eq=False)
class Row:
    """A request on its way through the model thread."""

    continuation: Continuation
    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[Piece | Exception] = field(default_factory=asyncio.Queue)
    since: float = field(default_factory=time.monotonic)
    is_given_up: bool = False  # set by the event loop, read by the model thread
    last_token: int = 0

    def send(self, item: Piece | Exception) -> None:
        try:
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self.is_given_up = True
