"""Hashes of files, and which of them are remembered."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from eagleray.data.digests import LARGE_BYTES, MANY, Digests, Named
from eagleray.errors import DataError

AN_HOUR_AGO = 1_700_000_000


def written(path: Path, content: str, *, at: int = AN_HOUR_AGO) -> Path:
    path.write_text(content)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.csv"
    path.write_bytes(b"x" * LARGE_BYTES)
    os.utime(path, (AN_HOUR_AGO, AN_HOUR_AGO))
    return path


def test_a_large_file_is_hashed_once(large: Path, tmp_path: Path) -> None:
    stages: list[tuple[str, int]] = []
    digests = Digests(tmp_path / "memory.json", on_progress=lambda stage, count: stages.append((stage, count)))
    assert digests.of(large) == hashlib.sha256(large.read_bytes()).hexdigest()
    assert stages == [("hashing large.csv (MiB)", 16)]
    assert digests.of(large) == hashlib.sha256(large.read_bytes()).hexdigest()
    assert len(stages) == 1


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_file_is_hashed_again(large: Path, tmp_path: Path, change: str) -> None:
    digests = Digests(tmp_path / "memory.json")
    before = digests.of(large)
    if change == "content":
        large.write_bytes(b"y" * LARGE_BYTES)
    else:
        large.write_bytes(b"y" * (LARGE_BYTES + 1))
        os.utime(large, (AN_HOUR_AGO, AN_HOUR_AGO))
    assert digests.of(large) == hashlib.sha256(large.read_bytes()).hexdigest() != before


def test_neither_small_nor_just_changed_files_are_remembered(large: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.csv"
    small.write_text("x")
    os.utime(small, (AN_HOUR_AGO, AN_HOUR_AGO))
    large.touch()
    digests = Digests(tmp_path / "memory.json")
    digests.of(small)
    digests.of(large)
    assert not (tmp_path / "memory.json").exists()


def test_files_that_are_gone_are_forgotten_and_a_damaged_memory_is_none(large: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    memory.write_text("{")
    Digests(memory).of(large)
    other = large.rename(tmp_path / "other.csv")
    Digests(memory).of(other)
    assert list(json.loads(memory.read_text())) == [str(other)]


@pytest.mark.parametrize("count", [0, 1, MANY - 1, MANY])
def test_the_digest_of_several_is_of_what_each_holds(tmp_path: Path, count: int) -> None:
    files = [("png", written(tmp_path / f"{number}.png", str(number))) for number in range(count)]
    named: list[Named] = [*files, *([("", None)] if count else [])]
    facts = [
        (said, "missing" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()) for said, path in named
    ]

    found = Digests(tmp_path / "memory.json").of_all(lambda: named)

    assert found == hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class TestMany:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[Named]:
        return [("", written(tmp_path / f"{number}.png", str(number))) for number in range(MANY)]

    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        paths: list[Path] = []
        plain = Digests._read
        monkeypatch.setattr(Digests, "_read", lambda self, path: paths.append(path) or plain(self, path))
        return paths

    def test_they_are_read_once(self, files: list[Named], read: list[Path], tmp_path: Path) -> None:
        first = Digests(tmp_path / "memory.json").of_all(lambda: files)
        read.clear()

        assert Digests(tmp_path / "memory.json").of_all(lambda: files) == first
        assert read == []

    def test_of_those_just_changed_nothing_is_remembered(
        self, files: list[Named], read: list[Path], tmp_path: Path
    ) -> None:
        (tmp_path / "9.png").touch()
        for _ in range(2):
            Digests(tmp_path / "memory.json").of_all(lambda: files)
        assert len(read) == 2 * MANY

    @pytest.mark.parametrize("change", ["content", "time", "name", "order", "gone"])
    def test_each_change_is_noticed(self, files: list[Named], read: list[Path], tmp_path: Path, change: str) -> None:
        digests = Digests(tmp_path / "memory.json")
        before = digests.of_all(lambda: files)
        match change:
            case "content":
                written(tmp_path / "9.png", "another")
            case "time":
                written(tmp_path / "9.png", "x", at=AN_HOUR_AGO + 1)
            case "name":
                files[9] = ("", written(tmp_path / "other.png", "x"))
            case "order":
                files[8], files[9] = files[9], files[8]
            case "gone":
                files[9] = ("", None)
        read.clear()

        assert digests.of_all(lambda: files) != before
        assert len(read) == MANY - (change == "gone")


def test_a_file_that_cannot_be_read_is_an_error_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        Digests(tmp_path / "memory.json").of(tmp_path / "none.csv")
