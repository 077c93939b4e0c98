"""Where does a process keep files for a while, and what becomes of those of one that was killed?

Each directory is held by a lock of the operating system for as long as its process lives. One that nobody holds was
left behind: whoever makes the next one on this machine deletes it, for a checkpoint on its way is gigabytes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PREFIX = "eagleray-scratch-"
_YOUNG_S = 10.0  # it is made and then held


@contextmanager
def scratch_directory(purpose: str) -> Iterator[Path]:
    """A directory for temporary files, deleted on leaving."""
    _delete_left_over(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=f"{PREFIX}{purpose}-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        with suppress(OSError):  # a file system without locks: nobody else gets one either, and it stays
            stack.enter_context(_held(Path(name)))
        yield Path(name)


def _delete_left_over(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is held, another user's, or deleted by now
            if time.time() - path.stat().st_mtime > _YOUNG_S:
                with _held(path):
                    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Raises OSError where another process holds it, or nobody can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
