"""Streams of pieces: several as one, and answers that are broken off once nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, suppress
from typing import Protocol, TypeVar

from starlette.requests import Request

from eagleray.serving.continuation import Piece

_Answer = TypeVar("_Answer")
_Piece = TypeVar("_Piece")


class Pieces(Protocol):
    """An answer as it is written. Closing it ends the generation."""

    def __aiter__(self) -> AsyncIterator[Piece]: ...

    async def __anext__(self) -> Piece: ...

    async def aclose(self) -> None: ...


async def merged(streams: Sequence[Pieces]) -> AsyncGenerator[tuple[int, Piece], None]:
    """The pieces of several streams with the stream's number, in the order in which they come."""
    waiting = {asyncio.ensure_future(anext(stream.__aiter__())): index for index, stream in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=waiting.__getitem__):
                index = waiting.pop(task)
                piece = task.result()
                yield index, piece
                if piece.finish_reason is None:
                    waiting[asyncio.ensure_future(anext(streams[index].__aiter__()))] = index
    finally:
        # First, and without waiting for anything: where the client has left, the next `await` is cancelled.
        for stream in streams:
            await stream.aclose()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def begun(pieces: AsyncGenerator[_Piece, None]) -> AsyncGenerator[_Piece, None]:
    """The same pieces, once the first is there.

    The generator has begun then: what it does at its end is done whether or not anybody reads on.
    """
    return _with_first(await anext(pieces), pieces)


async def unless_gone(request: Request, answer: Awaitable[_Answer]) -> _Answer | None:
    """The answer, or None once the client has hung up: what is computed for nobody is broken off."""
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        gone.cancel()
        if work.cancel():
            with suppress(asyncio.CancelledError):
                await work


async def _with_first(first: _Piece, others: AsyncGenerator[_Piece, None]) -> AsyncGenerator[_Piece, None]:
    async with aclosing(others):
        yield first
        async for piece in others:
            yield piece


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
