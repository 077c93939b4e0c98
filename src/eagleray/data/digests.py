"""What is the sha256 of a file, without reading a large file twice?"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from eagleray.errors import DataError

LARGE_BYTES = 16 * 2**20
"""Smaller files are hashed anew each time (a few hundredths of a second), so the memory holds few entries."""

SETTLED_NS = 2_000_000_000
"""A file changed less than 2 s ago is not remembered: within one tick of the clock it could change again."""

BLOCK_BYTES = 4 * 2**20


class Digests:
    """Hashes of files, those of large files remembered in `memory` by path, size and time of change."""

    def __init__(self, memory: Path, *, on_progress: Callable[[str, int], None] = lambda stage, count: None) -> None:
        self._memory = memory
        self._on_progress = on_progress

    def of(self, path: Path) -> str:
        """Return the sha256 of a file's content.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return self._of(path)
        except OSError as error:
            if error.filename == str(path):
                raise DataError(f"{path}: cannot be read: {error.strerror}") from error
            raise

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
            self._remember(path, [*stamp, digest])
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

    def _remember(self, path: Path, entry: list[int | str]) -> None:
        """Replace the file whole. Of two writers at once one entry is lost, which costs one more hashing."""
        known = {name: known for name, known in self._load().items() if Path(name).exists()}
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        part = self._memory.with_name(f"{self._memory.name}.{os.getpid()}")
        part.write_text(json.dumps(known | {str(path): entry}, indent=1), encoding="utf-8")
        part.replace(self._memory)
