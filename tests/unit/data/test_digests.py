"""Hashes of files, and which of them are remembered."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from eagleray.data.digests import LARGE_BYTES, Digests
from eagleray.errors import DataError

AN_HOUR_AGO = 1_700_000_000


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


def test_a_file_that_cannot_be_read_is_an_error_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        Digests(tmp_path / "memory.json").of(tmp_path / "none.csv")
