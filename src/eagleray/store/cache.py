"""What can be made again at any time and is kept to save time: where it lies, how large it is, what may go."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eagleray.errors import StorageError, UserError
from eagleray.store import refusals

# https://bford.info/cachedir/: backup programs leave such a directory out. Prune deletes in no directory without it:
# EAGLERAY_CACHE=$HOME must never cost anybody their files.
_TAG_NAME = "CACHEDIR.TAG"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is a cache of eagleray.\n"
_DELETED = ".deleted-"
_ABANDONED_AFTER = timedelta(days=1)
"""What is being built is written to all the time: so long after the last time its process is dead."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One thing in the cache."""

    path: Path
    kind: str
    size_bytes: int
    used_at: datetime


def cache_root() -> Path:
    """EAGLERAY_CACHE, else ~/.cache/eagleray. Creates nothing."""
    given = os.environ.get("EAGLERAY_CACHE")
    return (Path(given) if given else Path("~/.cache/eagleray")).expanduser().absolute()


def folder(kind: str, *, root: Path | None = None) -> Path:
    """The folder for entries of one kind ("data", "models"), created and marked as a cache. Each entry is one child."""
    root = root or cache_root()
    try:
        (root / kind).mkdir(parents=True, exist_ok=True)
        if not (root / _TAG_NAME).exists():
            (root / _TAG_NAME).write_text(_TAG)
    except OSError as error:
        reason = refusals.explain(error)
        raise StorageError(f"{root}: cannot create the cache: {reason}, or set EAGLERAY_CACHE") from error
    return root / kind


def touch(entry: Path) -> None:
    """Note that an entry is used now, so that it is not pruned for its age."""
    with suppress(OSError):  # a cache that is only read, as one of an image, is not pruned either
        os.utime(entry)


def entries(root: Path | None = None) -> list[CacheEntry]:
    """What is in the cache, the one unused for longest first."""
    found = filter(None, map(_entry, _paths(root or cache_root())))
    return sorted(found, key=lambda entry: (entry.used_at, entry.path))


def prune(*, older_than_days: float | None, now: datetime, root: Path | None = None) -> int:
    """Delete the entries unused for so many days (None: all), and what killed processes left; the bytes freed."""
    root = root or cache_root()
    if not root.is_dir():
        return 0
    if not (root / _TAG_NAME).is_file():
        raise UserError(
            f"{root} is not a cache of eagleray (no {_TAG_NAME}): nothing was deleted. Check EAGLERAY_CACHE"
        )
    limit = None if older_than_days is None else now - timedelta(days=older_than_days)
    try:
        old = [entry for entry in entries(root) if limit is None or entry.used_at < limit]
        return sum(_delete(entry.path, entry.size_bytes) for entry in old) + _delete_leftovers(root, now=now)
    except OSError as error:
        raise StorageError(f"{root}: cannot delete: {refusals.explain(error)}") from error


def _paths(root: Path, *, unfinished: bool = False) -> Iterator[Path]:
    """The entries, or what is being built, fetched or deleted."""
    for kind in sorted(path for path in root.glob("*") if path.is_dir() and not path.is_symlink()):
        for path in kind.iterdir():
            # A lock file stays: deleted while one process holds it, a second one would make a lock of its own.
            if path.suffix != ".lock" and unfinished is (path.suffix == ".part" or path.name.startswith(".")):
                yield path


def _entry(path: Path) -> CacheEntry | None:
    """None for one that is gone by now."""
    stats = [found for file in _files(path) if (found := _lstat(file)) is not None]
    if not stats:
        return None
    return CacheEntry(
        path=path,
        kind=path.parent.name,
        size_bytes=sum(found.st_size for found in stats if not stat.S_ISDIR(found.st_mode)),
        used_at=datetime.fromtimestamp(max(found.st_mtime for found in stats), UTC),
    )


def _files(path: Path) -> Iterator[Path]:
    yield path
    if not path.is_symlink():
        for folder, folders, files in os.walk(path):
            yield from (Path(folder, name) for name in (*folders, *files))


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _delete(path: Path, size_bytes: int) -> int:
    # Out of sight first: killed in mid-deletion, half an entry must not be taken for a whole one.
    hidden = path.with_name(f"{_DELETED}{secrets.token_hex(8)}")
    try:
        path.rename(hidden)
    except FileNotFoundError:
        return 0
    _remove(hidden)
    return size_bytes


def _delete_leftovers(root: Path, *, now: datetime) -> int:
    freed = 0
    for entry in filter(None, map(_entry, _paths(root, unfinished=True))):
        if entry.path.name.startswith(_DELETED) or entry.used_at < now - _ABANDONED_AFTER:
            freed += _delete(entry.path, entry.size_bytes)
    return freed


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):  # another prune is at it, too
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
