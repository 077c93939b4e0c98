"""The cache is pruned by age, whole entries only, and never in a directory that is no cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from eagleray.errors import StorageError, UserError
from eagleray.store import cache

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _add(root: Path, name: str, *, age_days: float, size: int = 100) -> Path:
    entry = cache.folder("data", root=root) / name
    (entry / "deep").mkdir(parents=True)
    (entry / "deep" / "file").write_bytes(bytes(size))
    at = NOW.timestamp() - age_days * 86400
    for path in (entry / "deep" / "file", entry / "deep", entry):
        os.utime(path, (at, at))
    return entry


@pytest.mark.parametrize(
    ("given", "expected"), [("/x/y", "/x/y"), ("", "/home/me/.cache/eagleray"), ("~/c", "/home/me/c")]
)
def test_root(monkeypatch: pytest.MonkeyPatch, given: str, expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("EAGLERAY_CACHE", given)
    assert cache.cache_root() == Path(expected)


def test_a_folder_is_made_and_marked(root: Path) -> None:
    assert cache.folder("data", root=root) == root / "data" == cache.folder("data", root=root)
    assert (root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_a_cache_that_cannot_be_made_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot create the cache: a part of the path is a file.*EAGLERAY_CACHE"):
        cache.folder("data", root=tmp_path / "file")


def test_entries_are_listed_the_one_unused_for_longest_first(root: Path) -> None:
    assert cache.entries(root) == []
    _add(root, "new", age_days=1)
    _add(root, "old", age_days=9, size=300)
    (root / "data" / "old.lock").touch()
    found = [(entry.path.name, entry.kind, entry.size_bytes) for entry in cache.entries(root)]
    assert found == [("old", "data", 300), ("new", "data", 100)]


@pytest.mark.parametrize(
    ("older_than_days", "left", "freed"),
    [
        pytest.param(None, [], 600, id="all"),
        pytest.param(0, [], 600, id="0-days"),
        pytest.param(5, ["day-1"], 500, id="5-days"),
        pytest.param(9.5, ["day-1", "day-9"], 300, id="half-days"),
        pytest.param(90, ["day-1", "day-20", "day-9"], 0, id="none-so-old"),
    ],
)
def test_prune(root: Path, older_than_days: float | None, left: list[str], freed: int) -> None:
    for age_days, size in ((1, 100), (9, 200), (20, 300)):
        _add(root, f"day-{age_days}", age_days=age_days, size=size)
    (root / "data" / "day-1.lock").touch()
    assert cache.prune(older_than_days=older_than_days, now=NOW, root=root) == freed
    assert sorted(path.name for path in (root / "data").iterdir() if path.suffix != ".lock") == left
    assert (root / "data" / "day-1.lock").exists()


def test_what_cannot_be_touched_can_be_used(root: Path) -> None:
    cache.touch(root / "as if it could only be read")


def test_a_touched_entry_stays(root: Path) -> None:
    cache.touch(_add(root, "used", age_days=50))
    assert cache.prune(older_than_days=1, now=NOW, root=root) == 0


def test_a_deletion_that_was_killed_is_finished(root: Path) -> None:
    _add(root, "entry", age_days=0).rename(root / "data" / ".deleted-0123")
    assert cache.entries(root) == []
    assert cache.prune(older_than_days=90, now=NOW, root=root) == 100
    assert list((root / "data").iterdir()) == []


@pytest.mark.parametrize("name", ["entry.part", ".entry.unfinished", ".entry-x1y2"])
def test_what_is_being_built_is_left_alone(root: Path, name: str) -> None:
    built = _add(root, name, age_days=0.5)
    assert cache.entries(root) == []
    assert cache.prune(older_than_days=None, now=NOW, root=root) == 0
    assert (built / "deep" / "file").exists()


@pytest.mark.parametrize("name", ["entry.part", ".entry.unfinished", ".entry-x1y2"])
def test_what_a_killed_process_has_built_goes_after_a_day(root: Path, name: str) -> None:
    _add(root, name, age_days=2)
    assert cache.prune(older_than_days=90, now=NOW, root=root) == 100
    assert list((root / "data").iterdir()) == []


def test_what_goes_meanwhile_counts_for_nothing(root: Path) -> None:
    entry = _add(root, "entry", age_days=9)
    for number in range(100):
        (entry / "deep" / str(number)).touch()
    with _coming_and_going(entry):
        for _ in range(200):
            assert len(cache.entries(root)) <= 2
        cache.prune(older_than_days=None, now=NOW, root=root)


@contextmanager
def _coming_and_going(entry: Path) -> Iterator[None]:
    """A process that begins to build an entry anew and publishes it, again and again."""
    ends = Event()

    def work() -> None:
        with suppress(FileNotFoundError):  # pruned
            while not ends.is_set():
                entry.rename(entry.with_name("other"))
                entry.with_name("other").rename(entry)

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def test_links_are_deleted_and_not_followed(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    (cache.folder("data", root=root) / "link").symlink_to(mine)
    (root / "kind-link").symlink_to(tmp_path)
    cache.prune(older_than_days=None, now=NOW, root=root)
    assert (mine / "file").exists()
    assert not (root / "data" / "link").is_symlink()


def test_nothing_is_deleted_in_a_directory_that_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "letters" / "dear").mkdir(parents=True)
    with pytest.raises(UserError, match=r"is not a cache of eagleray \(no CACHEDIR.TAG\): nothing was deleted"):
        cache.prune(older_than_days=None, now=NOW, root=tmp_path)
    assert (tmp_path / "letters" / "dear").exists()
    assert cache.prune(older_than_days=None, now=NOW, root=tmp_path / "nothing") == 0
