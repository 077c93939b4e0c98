"""How a file gets onto a local disk whole or not at all, even where the power fails.

The bytes go to a staged name in the same directory, are flushed to the disk, and only then get their name; the
directory is flushed last. obstore's own local writes take the same way but flush nothing: after a power cut a
manifest could be there while the files it names are empty.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, blocks: Iterable[bytes]) -> None:
    """Write a file, replacing what was there. Raises OSError and then leaves the old file as it was."""
    staged = _stage(path, blocks)
    try:
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    _flush_directory(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Write a file that must not exist; False where it does. Of many at once exactly one gets True."""
    if path.exists():
        return False
    staged = _stage(path, (data,))
    try:
        path.hardlink_to(staged)  # unlike a rename, a link never replaces
    except FileExistsError:
        return False
    finally:
        staged.unlink(missing_ok=True)
    _flush_directory(path.parent)
    return True


def _stage(path: Path, blocks: Iterable[bytes]) -> Path:
    # "#" and digits at the end: obstore takes such files for its own staged ones and does not list them.
    _make_directory(path.parent)
    staged = path.with_name(f"{path.name}#{secrets.randbelow(10**12)}")
    try:
        with staged.open("xb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return staged


def _make_directory(directory: Path) -> None:
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _flush_directory(each.parent)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
