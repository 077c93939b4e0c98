"""How a file gets onto a local disk whole or not at all, even where the power fails; and how a folder goes.

The bytes go to a staged name in the same directory, are flushed to the disk, and only then get their name; the
directory is flushed last. obstore's own local writes take the same way but flush nothing: after a power cut a
manifest could be there while the files it names are empty.

Folders are made below a root that must be there: where a disk is gone, its place must not be filled as a plain folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, blocks: Iterable[bytes], *, root: Path) -> None:
    """Write a file below `root`, replacing what was there. Raises OSError and then leaves the old file as it was."""
    staged = _stage(path, blocks, root)
    try:
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    _flush_directory(path.parent)


def create(path: Path, data: bytes, *, root: Path) -> bool:
    """Write a file below `root` that must not exist; False where it does. Of many at once exactly one gets True."""
    if path.exists():
        return False
    staged = _stage(path, (data,), root)
    try:
        path.hardlink_to(staged)  # unlike a rename, a link never replaces
    except FileExistsError:
        return False
    finally:
        staged.unlink(missing_ok=True)
    _flush_directory(path.parent)
    return True


def remove_folder(folder: Path, *, last: Path | None = None) -> None:
    """Delete a folder with everything in it, the entry `last` after all others; one that is missing is fine.

    Symbolic links are deleted, what they point to is not.
    """
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry != last:
            _remove(entry)
    _remove(folder)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _stage(path: Path, blocks: Iterable[bytes], root: Path) -> Path:
    # "#" and digits at the end: obstore takes such files for its own staged ones and does not list them.
    _make_directory(path.parent, root)
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


def _make_directory(directory: Path, root: Path) -> None:
    # One by one, and the root never: `parents=True` would make it again.
    if directory == root or directory.exists():
        return
    _make_directory(directory.parent, root)
    directory.mkdir(exist_ok=True)
    _flush_directory(directory.parent)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
