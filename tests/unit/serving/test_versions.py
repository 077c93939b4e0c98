"""The files of a version are an entry of the machine's cache, which stays while it is used."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eagleray.serving.versions import fetched
from eagleray.store import cache
from eagleray.store.objects import Objects, open_storage
from tests.support.versions import FILES, new_version


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    found = open_storage(str(tmp_path / "storage"))
    for _ in range(2):
        new_version(found)
    return found


def test_each_version_has_its_own_files(objects: Objects, tmp_path: Path) -> None:
    other = open_storage(str(tmp_path / "other"))
    new_version(other, files={"other": b"weights"})
    directories = [
        fetched(storage, "demo", version, cache_dir=tmp_path / "cache")
        for storage, version in ((objects, 1), (objects, 2), (other, 1))
    ]

    listed = [{file.relative_to(each).as_posix() for file in each.rglob("*") if file.is_file()} for each in directories]
    assert listed == [set(FILES), set(FILES), {"other"}]


def test_what_nobody_uses_is_pruned_and_fetched_again(objects: Objects, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    unused, used = (fetched(objects, "demo", version, cache_dir=root) for version in (1, 2))
    for path in root.rglob("*"):
        os.utime(path, (0, 0))
    assert fetched(objects, "demo", 2, cache_dir=root) == used

    cache.prune(older_than_days=30, now=datetime.now(UTC), root=root)

    assert [entry.path for entry in cache.entries(root)] == [used]
    assert fetched(objects, "demo", 1, cache_dir=root) == unused
    assert (unused / "model.safetensors").read_bytes() == b"weights"
