"""What a command was given, as the parts below take it: the environment and the current directory are read here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eagleray.spec.document import Loaded
    from eagleray.spec.serving import Endpoint

# The models of documents are imported inside: commands import this module at start-up, and help needs no models.


def read_document(file: Path, *, overrides: Sequence[str] | None, storage: str | None) -> Loaded:
    """The document as a run takes it: overrides in it, every path absolute, the storage decided."""
    from eagleray.spec import document, locations

    loaded = document.load(file, overrides=overrides or ())
    return locations.resolve(loaded, option=storage, environment=_environment(), current=Path.cwd())


def storage_uri(storage: str | None) -> str:
    """Where records are, for a command without a document."""
    from eagleray.spec import locations

    uri, _ = locations.storage(option=storage, environment=_environment(), current=Path.cwd())
    return uri


def endpoint_storage(document: Endpoint, file: Path, *, storage: str | None) -> str:
    """Where the registry is that a document of kind Endpoint serves from."""
    from eagleray.spec import locations

    written = document.spec.storage
    if storage is None and not _environment() and written is not None:
        return locations.location(written, (Path.cwd() / file).parent)
    return storage_uri(storage)


def _environment() -> str | None:
    return os.environ.get("EAGLERAY_STORAGE")
