"""The way from a proxy to replicas over real sockets: nothing is changed, nobody waits in vain, no request is lost."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eagleray.serving import wire
from eagleray.serving.listener import Listener
from eagleray.serving.shortcut import Shortcut
from eagleray.serving.wire import Kind

WITHIN_S = 10.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: that of a socket is at most 107 bytes long."""
    with tempfile.TemporaryDirectory(prefix="eagleray-") as found:
        yield Path(found) / "sockets"


@dataclass
class Caller:
    """One request, and what comes back."""

    body: tuple[bytes, ...] = (b"",)
    path: str = "/predict"
    sent: list[Message] = field(default_factory=list)
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    has_more: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, app: ASGIApp) -> Caller:
        pieces = list(self.body)

        async def receive() -> Message:
            if pieces:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
            await self.leaves.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self.sent.append(message)
            self.has_more.set()

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"a=%20",
            "headers": [(b"authorization", b"Bearer \xe4"), (b"content-type", b"application/json")],
            "client": ("10.0.0.1", 80),
            "server": ("host", 443),
        }
        await app(scope, receive, send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


async def answer(send: Send, text: bytes, *, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-of", b"\xff")]})
    await send({"type": "http.response.body", "body": text})


def named(name: bytes) -> ASGIApp:
    """An application that answers with its name."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, name)

    return app


@dataclass
class Slow:
    """An application that answers when it may, and says what becomes of it."""

    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.has_begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        await answer(send, b"slow")


async def echoed(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    told = {name: repr(scope[name]) for name in ("method", "path", "raw_path", "query_string", "headers", "client")}
    await answer(send, json.dumps({**told, "scheme": scope["scheme"], "body": body.decode()}).encode(), status=201)


async def broken_off(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("in the midst")


async def in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(3):
        await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class Place:
    """A proxy and replicas in one loop."""

    def __init__(self, directory: Path) -> None:
        self.proxy = Shortcut(named(b"serve"), directory=directory)
        self._directory, self._listeners = directory, list[Listener]()

    async def replica(self, app: ASGIApp, name: str = "one") -> Listener:
        """A replica that the proxy knows."""
        listener = Listener(app, self._directory / name)
        await listener.open()
        self._listeners.append(listener)
        before = len(self.proxy.known)
        await self.proxy.look()
        await self.until(lambda: len(self.proxy.known) > before)
        return listener

    async def close(self) -> None:
        for listener in self._listeners:
            await listener.drain(WITHIN_S)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0)


def test_a_new_replica_is_found_while_requests_come(directory: Path) -> None:
    async def case(place: Place) -> bytes:
        listener = Listener(named(b"one"), directory / "one")
        await listener.open()
        while (text := (await Caller().ask(place.proxy)).text) == b"serve":
            await asyncio.sleep(0)
        await listener.drain(WITHIN_S)
        return text

    assert run(case, directory) == b"one"


def run(case: Callable[[Place], Awaitable[Any]], directory: Path) -> Any:
    async def within() -> Any:
        place = Place(directory)
        async with asyncio.timeout(WITHIN_S):
            try:
                return await case(place)
            finally:
                await place.close()

    return asyncio.run(within())


def test_request_and_answer_are_as_they_were_sent(directory: Path) -> None:
    async def case(place: Place) -> Caller:
        await place.replica(echoed)
        return await Caller(body=(b"a", b"", b"bc")).ask(place.proxy)

    caller = run(case, directory)

    assert caller.status == 201
    assert caller.sent[0]["headers"] == [(b"x-of", b"\xff")]
    assert json.loads(caller.text) == {
        "method": "'POST'",
        "path": "'/predict'",
        "raw_path": "b'/predict'",
        "query_string": "b'a=%20'",
        "headers": repr([(b"authorization", b"Bearer \xe4"), (b"content-type", b"application/json")]),
        "client": "('10.0.0.1', 80)",
        "scheme": "https",
        "body": "abc",
    }


def test_an_answer_comes_in_the_pieces_it_was_sent_in(directory: Path) -> None:
    async def case(place: Place) -> Caller:
        await place.replica(in_pieces)
        return await Caller().ask(place.proxy)

    assert [message["body"] for message in run(case, directory).sent[1:]] == [b"0", b"1", b"2", b""]


@pytest.mark.parametrize(
    ("path", "expected"), [("/predict", b"one"), ("/-/healthz", b"serve"), ("/-/routes", b"serve")]
)
def test_the_proxys_own_routes_stay_its_own(directory: Path, path: str, expected: bytes) -> None:
    async def case(place: Place) -> Caller:
        await place.replica(named(b"one"))
        return await Caller(path=path).ask(place.proxy)

    assert run(case, directory).text == expected


def test_without_a_replica_ray_serve_answers(directory: Path) -> None:
    async def case(place: Place) -> Caller:
        return await Caller().ask(place.proxy)

    assert run(case, directory).text == b"serve"


def test_a_directory_that_others_can_reach_is_not_looked_into(directory: Path) -> None:
    async def case(place: Place) -> bytes:
        await place.replica(named(b"one"))
        directory.chmod(0o755)
        other = Shortcut(named(b"serve"), directory=directory)
        await other.look()
        with pytest.raises(PermissionError, match="not this user's alone"):
            await place.replica(named(b"two"), "two")
        return (await Caller().ask(other)).text

    assert run(case, directory) == b"serve"


def test_who_has_least_to_do_is_asked(directory: Path) -> None:
    async def case(place: Place) -> list[bytes]:
        slow = Slow()
        await place.replica(slow, "slow")
        waiting = asyncio.create_task(Caller().ask(place.proxy))
        await slow.has_begun.wait()
        await place.replica(named(b"free"), "free")
        texts = [(await Caller().ask(place.proxy)).text for _ in range(3)]
        slow.may_end.set()
        return [*texts, (await waiting).text]

    assert run(case, directory) == [b"free", b"free", b"free", b"slow"]


def test_equals_take_turns(directory: Path) -> None:
    async def case(place: Place) -> list[bytes]:
        for name in (b"one", b"two"):
            await place.replica(named(name), name.decode())
        return [(await Caller().ask(place.proxy)).text for _ in range(4)]

    assert sorted(run(case, directory)) == [b"one", b"one", b"two", b"two"]


def test_what_a_caller_that_left_had_asked_is_not_computed(directory: Path) -> None:
    async def case(place: Place) -> None:
        slow, caller = Slow(), Caller()
        listener = await place.replica(slow)
        asking = asyncio.create_task(caller.ask(place.proxy))
        await slow.has_begun.wait()
        caller.leaves.set()
        await asking
        await slow.was_cancelled.wait()
        await place.until(lambda: listener.num_ongoing == 0)

    run(case, directory)


def test_where_a_replica_dies_callers_are_told_to_try_again(directory: Path) -> None:
    async def case(place: Place) -> tuple[Caller, Caller]:
        slow = Slow()
        listener = await place.replica(slow)
        asking = asyncio.create_task(Caller().ask(place.proxy))
        await slow.has_begun.wait()
        await listener.drain(0)  # it waits for nobody: its connections end as those of a process that is killed
        return await asking, await Caller().ask(place.proxy)

    failed, next_one = run(case, directory)

    assert failed.status == 503
    assert (b"retry-after", b"1") in failed.sent[0]["headers"]
    assert json.loads(failed.text)["detail"].startswith("the process that was to answer has ended")
    assert next_one.text == b"serve"


def test_half_an_answer_ends_as_such(directory: Path) -> None:
    async def case(place: Place) -> Caller:
        await place.replica(broken_off)
        caller = Caller()
        with pytest.raises(ConnectionError, match="in the midst"):
            await caller.ask(place.proxy)
        return caller

    assert run(case, directory).text == b"half"


def test_a_replica_that_leaves_answers_what_it_has(directory: Path) -> None:
    async def case(place: Place) -> tuple[bytes, bytes, bool]:
        slow = Slow()
        listener = await place.replica(slow)
        asking = asyncio.create_task(Caller().ask(place.proxy))
        await slow.has_begun.wait()
        draining = asyncio.create_task(listener.drain(WITHIN_S))
        await place.until(lambda: not place.proxy.known)
        late = await Caller().ask(place.proxy)
        was_waiting = not draining.done()
        slow.may_end.set()
        await draining
        return (await asking).text, late.text, was_waiting

    assert run(case, directory) == (b"slow", b"serve", True)
    assert not directory.exists()


def test_the_socket_of_a_process_that_was_killed_goes(directory: Path) -> None:
    async def case(place: Place) -> list[str]:
        directory.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(directory / "killed"))
        await place.proxy.look()
        return [path.name for path in directory.iterdir()]

    assert run(case, directory) == []


def test_requests_under_way_are_counted(directory: Path) -> None:
    async def case(place: Place) -> list[int]:
        slow, counts = Slow(), []
        listener = await place.replica(slow)
        asking = [asyncio.create_task(Caller().ask(place.proxy)) for _ in range(3)]
        await place.until(lambda: listener.num_ongoing == 3)
        counts.append(listener.num_ongoing)
        slow.may_end.set()
        await asyncio.gather(*asking)
        await place.until(lambda: listener.num_ongoing == 0)
        return [*counts, listener.num_ongoing]

    assert run(case, directory) == [3, 0]


def test_who_leaves_before_anything_is_begun_is_counted_no_longer(directory: Path) -> None:
    """All that a busy loop has not yet read of a connection comes at once."""
    names = ("http_version", "method", "scheme", "path", "root_path", "raw_path", "query_string")
    head = {**dict.fromkeys(names, ""), "headers": [], "client": None, "server": None}
    gone = (wire.packed(Kind.OPEN, 1, head=head), wire.packed(Kind.END, 1), wire.packed(Kind.LEFT, 1))
    frames = (*gone, wire.packed(Kind.OPEN, 2, head=head))

    async def case(place: Place) -> None:
        listener = await place.replica(named(b"answered"))
        reader, writer = await asyncio.open_unix_connection(str(directory / "one"))
        try:
            writer.write(b"".join(frames))
            await reader.readuntil(b"answered")
            await place.until(lambda: listener.num_ongoing == 0)
        finally:
            writer.close()

    run(case, directory)
