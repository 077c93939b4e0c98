"""What is the sha256 of a file, or of many, without reading what is large twice?"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eagleray.errors import DataError

LARGE_BYTES = 16 * 2**20
"""Smaller files are hashed anew each time (a few hundredths of a second), so the memory holds few entries."""

MANY = 16
"""Of so many files or more the digest of all together is remembered, however small they are."""

SETTLED_NS = 2_000_000_000
"""A file changed less than 2 s ago is not remembered: within one tick of the clock it could change again."""

BLOCK_BYTES = 4 * 2**20

Named = tuple[str, Path | None]
"""What stands beside the digest of a file, and the file; None where there is none of the name that is given."""

_AND_OTHERS = " and others"
"""Behind the path of the first of many in the memory."""


class Digests:
    """Hashes of files, those of large files and of many remembered in `memory` by path, size and time of change."""

    def __init__(self, memory: Path, *, on_progress: Callable[[str, int], None] = lambda stage, count: None) -> None:
        self._memory = memory
        self._on_progress = on_progress

    def of(self, path: Path) -> str:
        """Return the sha256 of a file's content.

        Raises:
            DataError: it cannot be read.
        """
        with _read_by(path):
            return self._of(path)

    def of_all(self, files: Callable[[], Iterable[Named]]) -> str:
        """Return a sha256 of the content of `files` in their order, of which the first exists.

        They are asked for again rather than held: a table may name millions.

        Raises:
            DataError: one cannot be read.
        """
        few = list(itertools.islice(files(), MANY))
        if len(few) < MANY:
            return self._joined(few)
        name = f"{few[0][1]}{_AND_OTHERS}"
        stamp, are_settled = _stamp(files())
        known = self._load().get(name, [])
        if known[:1] == [stamp]:
            return str(known[1])
        digest = self._joined(files())
        if are_settled:
            self._remember(name, [stamp, digest])
        return digest

    def _joined(self, files: Iterable[Named]) -> str:
        """The hash of a JSON list, of which never more than an entry is held."""
        digest, before = hashlib.sha256(b"["), ""
        for said, path in files:
            fact = (said, "missing" if path is None else self.of(path))
            digest.update(f"{before}{json.dumps(fact)}".encode())
            before = ", "
        digest.update(b"]")
        return digest.hexdigest()

    def _of(self, path: Path) -> str:
        facts = path.stat()
        stamp = [facts.st_size, facts.st_mtime_ns]
        if facts.st_size < LARGE_BYTES:
            return self._read(path)
        known = self._load().get(str(path), [])
        if known[:2] == stamp:
            return str(known[2])
        digest = self._read(path)
        if time.time_ns() - facts.st_mtime_ns > SETTLED_NS:
            self._remember(str(path), [*stamp, digest])
        return digest

    def _read(self, path: Path) -> str:
        digest, done = hashlib.sha256(), 0
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                done += len(block)
                if done >= LARGE_BYTES:
                    self._on_progress(f"hashing {path.name} (MiB)", done >> 20)
        return digest.hexdigest()

    def _load(self) -> dict[str, list[int | str]]:
        try:
            known = json.loads(self._memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return known if isinstance(known, dict) else {}

    def _remember(self, name: str, entry: list[int | str]) -> None:
        """Replace the file whole. Of two writers at once one entry is lost, which costs one more hashing."""
        known = {each: known for each, known in self._load().items() if Path(each.removesuffix(_AND_OTHERS)).exists()}
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        part = self._memory.with_name(f"{self._memory.name}.{os.getpid()}")
        part.write_text(json.dumps(known | {name: entry}, indent=1), encoding="utf-8")
        part.replace(self._memory)


def _stamp(files: Iterable[Named]) -> tuple[str, bool]:
    """What changes with any of these files, and whether all of them were settled when it was asked."""
    digest, newest_ns, now_ns = hashlib.sha256(), 0, time.time_ns()
    for said, path in files:
        facts = None
        if path is not None:
            with _read_by(path):
                found = path.stat()
            facts = (str(path), found.st_size, found.st_mtime_ns)
            newest_ns = max(newest_ns, found.st_mtime_ns)
        digest.update(json.dumps((said, facts)).encode())
    return digest.hexdigest(), now_ns - newest_ns > SETTLED_NS


@contextmanager
def _read_by(path: Path) -> Iterator[None]:
    """Say that a file cannot be read. What else fails, as the memory, is not of the data."""
    try:
        yield
    except OSError as error:
        if error.filename == str(path):
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        raise
