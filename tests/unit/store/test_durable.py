"""In which order bytes, names and folders reach the disk: after a power cut a name stands for a whole file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagleray.store import durable


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the system is told, in its order. A staged name ends in "#"."""
    told: list[str] = []

    def named(path: Any) -> str:
        name = Path(path).relative_to(tmp_path).as_posix()
        return name.partition("#")[0] + "#" * ("#" in name)

    def spy(call: str, tell: Callable[..., str]) -> None:
        real = getattr(os, call)

        def spied(*arguments: Any, **options: Any) -> Any:
            told.append(tell(*arguments))
            return real(*arguments, **options)

        monkeypatch.setattr(os, call, spied)

    def flushed(descriptor: int) -> str:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return f"flush {named(path)}" + (f": {path.read_text(encoding='utf-8')}" if path.is_file() else "")

    spy("fsync", flushed)
    spy("replace", lambda source, target: f"rename {named(source)} to {named(target)}")
    spy("link", lambda source, target: f"link {named(source)} to {named(target)}")
    spy("mkdir", lambda path, *_: f"make {named(path)}")
    return told


def test_a_file_has_its_name_after_its_bytes(happened: list[str], tmp_path: Path) -> None:
    durable.write(tmp_path / "a", [b"on", b"e"], root=tmp_path)

    assert happened == ["flush a#: one", "rename a# to a", "flush ."]


def test_a_new_file_too(happened: list[str], tmp_path: Path) -> None:
    assert durable.create(tmp_path / "a", b"one", root=tmp_path)

    assert happened == ["flush a#: one", "link a# to a", "flush ."]


def test_folders_come_before_what_is_in_them(happened: list[str], tmp_path: Path) -> None:
    durable.write(tmp_path / "a/b/c", [b"one"], root=tmp_path)

    assert happened == [
        *("make a", "flush ."),
        *("make a/b", "flush a"),
        *("flush a/b/c#: one", "rename a/b/c# to a/b/c", "flush a/b"),
    ]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_fails_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str) -> None:
    durable.write(tmp_path / "a", [b"old"], root=tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output error"):
        durable.write(tmp_path / "a", [b"new"], root=tmp_path)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
