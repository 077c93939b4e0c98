"""Temporary directories go with their process, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eagleray.store.scratch import PREFIX, scratch_directory

HOLDER = """
import sys
from eagleray.store.scratch import scratch_directory
with scratch_directory("worker") as folder:
    (folder / "state").write_text("many bytes")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is the system's directory for temporary files here."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def another(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has such a directory, and the directory."""
    command, environment = [sys.executable, "-c", HOLDER], {**os.environ, "TMPDIR": str(parent)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_it_is_there_and_then_gone(parent: Path) -> None:
    with scratch_directory("worker") as folder:
        assert folder.parent == parent
        (folder / "below").mkdir()
    assert list(parent.iterdir()) == []


def test_what_a_killed_process_left_is_deleted_by_the_next(parent: Path) -> None:
    with another(parent) as (process, left):
        process.kill()
    aged(left)

    with scratch_directory("worker"):
        assert not left.exists()


def test_what_another_process_holds_stays(parent: Path) -> None:
    with another(parent) as (_, held):
        aged(held)
        with scratch_directory("worker"):
            assert (held / "state").exists()


def test_what_was_just_made_stays(parent: Path) -> None:
    """Its maker may not hold it yet."""
    fresh = parent / f"{PREFIX}worker-fresh"
    fresh.mkdir()
    with scratch_directory("worker"):
        assert fresh.exists()


def test_what_is_not_ours_stays(parent: Path) -> None:
    others = parent / "eagleray-notes"
    others.mkdir()
    aged(others)
    with scratch_directory("worker"):
        assert others.exists()


def test_a_link_to_somewhere_else_is_not_followed(parent: Path) -> None:
    others = parent / "notes"
    others.mkdir()
    (others / "file").write_text("kept")
    (parent / f"{PREFIX}worker-link").symlink_to(others)
    aged(others)
    with scratch_directory("worker"):
        assert (others / "file").exists()


def test_a_file_system_without_locks(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of other directories there: they stay, and a process gets its own."""
    left = parent / f"{PREFIX}worker-left"
    left.mkdir()
    aged(left)

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with scratch_directory("worker") as folder:
        assert folder.is_dir()
        assert left.exists()
    assert not folder.exists()


def aged(folder: Path) -> None:
    """Make it a minute old."""
    made = folder.stat().st_mtime - 60
    os.utime(folder, (made, made))
