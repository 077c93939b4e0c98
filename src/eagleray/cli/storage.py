"""The storage that a command only reads: opened where it is there, never created."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.store.objects import Objects

DEFAULT_STORAGE = "./runs"


def uri(storage: str | None) -> str:
    """What `--storage` says, else EAGLERAY_STORAGE, else ./runs."""
    return storage or os.environ.get("EAGLERAY_STORAGE") or DEFAULT_STORAGE


def open_if_there(storage: str | None) -> Objects | None:
    """The storage; None for a local directory that is not there."""
    from eagleray.store.objects import local_directory, open_storage

    directory = local_directory(uri(storage))
    return open_storage(uri(storage)) if directory is None or directory.exists() else None


def open_there(storage: str | None) -> Objects:
    """The storage. Raises UserError for a local directory that is not there."""
    objects = open_if_there(storage)
    if objects is None:
        where = uri(storage)
        raise UserError(f"there is no directory {where}: give the storage of the runs by --storage or EAGLERAY_STORAGE")
    return objects
