"""Frames arrive as they were sent, however the bytes are cut; a directory that others can reach is not trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.serving import wire
from eagleray.serving.wire import Frame, Kind, Unpacker

FRAMES = [
    Frame(Kind.OPEN, 1, {"method": "POST", "headers": [["x", "\xff"]]}, b""),
    Frame(Kind.BODY, 1, {}, bytes(range(256)) * 40),
    Frame(Kind.END, 1, {}, b""),
    Frame(Kind.START, 2**32 - 1, {"status": 200}, b""),
    Frame(Kind.BYE, 0, {}, b""),
]
SENT = b"".join(wire.packed(frame.kind, frame.exchange, head=frame.head, body=frame.body) for frame in FRAMES)


@pytest.mark.parametrize("size", [1, 7, 13, 14, 1000, len(SENT)])
def test_frames_are_whole_however_they_are_cut(size: int) -> None:
    unpacker = Unpacker()

    found = [frame for at in range(0, len(SENT), size) for frame in unpacker.feed(SENT[at : at + size])]

    assert found == FRAMES


def test_headers_are_bytes_of_any_kind() -> None:
    headers = [(b"content-type", b"text/plain"), (b"x-name", b"\xe4\xff")]

    assert wire.pairs(wire.texts(headers)) == headers


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o700, True), (0o750, False), (0o701, False)], ids=["own", "group", "all"]
)
def test_only_a_directory_of_ones_own_is_private(tmp_path: Path, mode: int, expected: bool) -> None:
    directory = tmp_path / "sockets"
    directory.mkdir()
    directory.chmod(mode)

    assert wire.is_private(directory) is expected


@pytest.mark.parametrize("kind", ["none", "file", "link"])
def test_what_is_no_directory_is_not_private(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sockets"
    if kind == "file":
        path.touch(mode=0o600)
    if kind == "link":
        (tmp_path / "other").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "other")

    assert not wire.is_private(path)


def test_sockets_are_found_where_they_take_connections(tmp_path: Path) -> None:
    directory = tmp_path / "sockets"
    assert wire.sockets(directory) == set()
    directory.mkdir(mode=0o700)
    for path in (directory / "one", wire.hidden(directory / "two")):
        path.touch()
    assert wire.sockets(directory) == {directory / "one"}
    directory.chmod(0o755)
    assert wire.sockets(directory) == set()
