"""The storage that a command only reads: opened where it is there, never created."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.store.objects import Objects


def environment() -> str | None:
    """What EAGLERAY_STORAGE says."""
    return os.environ.get("EAGLERAY_STORAGE")


def uri(storage: str | None) -> str:
    """What `--storage` says, else EAGLERAY_STORAGE, else ./runs; a directory with its whole path."""
    from eagleray.spec import locations

    return locations.storage(option=storage, environment=environment(), current=Path.cwd())[0]


def open_if_there(storage: str | None) -> Objects | None:
    """The storage; None for a local directory that is not there."""
    from eagleray.store.objects import local_directory, open_storage

    where = uri(storage)
    directory = local_directory(where)
    return open_storage(where) if directory is None or directory.exists() else None


def open_there(storage: str | None) -> Objects:
    """The storage. Raises UserError for a local directory that is not there."""
    objects = open_if_there(storage)
    if objects is None:
        where = uri(storage)
        raise UserError(f"there is no directory {where}: give the storage of the runs by --storage or EAGLERAY_STORAGE")
    return objects


def open_to_look(storage: str | None) -> Objects:
    """The storage; for a local directory that is not there, one in memory that is as empty."""
    from eagleray.store.objects import open_storage

    return open_if_there(storage) or open_storage("memory://")
