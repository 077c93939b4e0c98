"""How do two processes of one machine hand each other requests and answers? As frames on a Unix socket.

Many exchanges share a connection, each with a number of its own. What a request or an answer begins with is JSON,
bodies are bytes as they are: nothing that is received can run anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple, cast

_HEAD = struct.Struct("!BIII")  # kind, exchange, bytes of the head, bytes of the body


class Kind(IntEnum):
    """What a frame says."""

    OPEN = 1  # a request begins; its body follows
    START = 2  # an answer begins: status and headers
    BODY = 3  # a part of the body of either
    END = 4  # the last part
    LEFT = 5  # the caller has left: nobody waits for the answer
    FAILED = 6  # there is no answer, or no more of it
    HELLO = 7  # exchanges may begin: before it a connection may be one that nobody has taken
    BYE = 8  # no new exchanges: close when those under way have ended


class Frame(NamedTuple):
    """One message of an exchange."""

    kind: Kind
    exchange: int
    head: Mapping[str, Any]
    body: bytes


def packed(kind: Kind, exchange: int = 0, *, head: Mapping[str, Any] | None = None, body: bytes = b"") -> bytes:
    """A frame as bytes."""
    told = json.dumps(head).encode() if head is not None else b""
    return b"".join((_HEAD.pack(kind, exchange, len(told), len(body)), told, body))


class Unpacker:
    """Frames of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now."""
        self._rest += data
        at = 0
        while len(self._rest) - at >= _HEAD.size:
            kind, exchange, head_bytes, body_bytes = _HEAD.unpack_from(self._rest, at)
            head_at = at + _HEAD.size
            body_at = head_at + head_bytes
            if len(self._rest) < body_at + body_bytes:
                break
            at = body_at + body_bytes
            head = json.loads(self._rest[head_at:body_at]) if head_bytes else {}
            yield Frame(Kind(kind), exchange, head, bytes(self._rest[body_at:at]))
        del self._rest[:at]


class Link(asyncio.Protocol):
    """One end of a connection."""

    def __init__(
        self, take: Callable[[Frame], None], ended: Callable[[], None], *, greeting: Kind | None = None
    ) -> None:
        """`take` is called with each frame, `ended` once, when no more can come; `greeting` is sent at first."""
        self._take, self._ended, self._greeting = take, ended, greeting
        self._unpacker = Unpacker()
        self._transport: asyncio.Transport | None = None
        self._is_writable = asyncio.Event()
        self._is_writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio says so."""
        self._transport = cast(asyncio.Transport, transport)  # by its methods: uvloop's is of no such class
        if self._greeting is not None:
            self.put(self._greeting)

    def data_received(self, data: bytes) -> None:
        """asyncio says so."""
        for frame in self._unpacker.feed(data):
            self._take(frame)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio says so."""
        self._is_writable.set()  # who waits to write shall not wait for ever
        self._ended()

    def pause_writing(self) -> None:
        """asyncio says so: the other end does not read."""
        self._is_writable.clear()

    def resume_writing(self) -> None:
        """asyncio says so."""
        self._is_writable.set()

    async def drained(self) -> None:
        """Wait while the other end does not read."""
        if not self._is_writable.is_set():
            await self._is_writable.wait()

    def put(self, kind: Kind, exchange: int = 0, *, head: Mapping[str, Any] | None = None, body: bytes = b"") -> None:
        """Send a frame; nothing happens where the connection has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packed(kind, exchange, head=head, body=body))

    def close(self) -> None:
        """End the connection when all is sent."""
        if self._transport is not None:
            self._transport.close()


def directory(session: str) -> Path:
    """Where the sockets of a Ray session are on this machine. Other users can neither list nor reach them."""
    return Path(tempfile.gettempdir()) / f"eagleray-{os.getuid()}-{session}"


def is_private(path: Path) -> bool:
    """Whether a directory belongs to this user, and to nobody else: its name can be guessed."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def hidden(socket: Path) -> Path:
    """Where a socket is until it takes connections: between its making and that it would refuse them."""
    return socket.with_name(f".{socket.name}")


def sockets(directory: Path) -> set[Path]:
    """Those that take connections; none where the directory is not private, or there is none."""
    if not is_private(directory):
        return set()
    try:
        return {path for path in directory.iterdir() if not path.name.startswith(".")}
    except FileNotFoundError:  # the last replica has just left
        return set()


def texts(headers: Any) -> list[list[str]]:
    """Headers, or other pairs of bytes, as JSON can hold them."""
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]


def pairs(headers: Any) -> list[tuple[bytes, bytes]]:
    """The headers again."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
