"""What does a look at a machine find, and how is it told?"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "warning", "error"]

_SHARED = Path("/dev/shm")
_MIN_SHARED_BYTES = 512 * 2**20
_MIN_FREE_BYTES = 5 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    seen: str
    remedy: str = ""

    def __str__(self) -> str:
        told = f"{self.what}: {self.seen}"
        return f"{told}: {self.remedy}" if self.remedy else told


def shared_memory() -> Finding:
    """Ray keeps its objects there; in a container it is often 64 MB."""
    free = shutil.disk_usage(_SHARED).free
    if free < _MIN_SHARED_BYTES:
        return Finding(
            "shared memory",
            "warning",
            f"{free / 2**20:.0f} MB free in {_SHARED}",
            "give more, as `docker run --shm-size=2g`",
        )
    return Finding("shared memory", "ok", f"{free / 2**30:.1f} GiB free in {_SHARED}")


def free_space(what: str, directory: Path, remedy: str) -> Finding:
    """Whether a directory, or where it would be made, can be written and has room."""
    there = next(each for each in (directory, *directory.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return Finding(what, "error", f"{directory} cannot be written", remedy)
    state: State = "ok" if free >= _MIN_FREE_BYTES else "warning"
    return Finding(what, state, f"{free / 2**30:.1f} GiB free in {directory}", "" if state == "ok" else remedy)
