"""What a command was given, as the parts below take it: the environment and the current directory are read here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eagleray.cli import storage as storages

if TYPE_CHECKING:
    from eagleray.spec.document import Loaded
    from eagleray.spec.finetune import FineTune
    from eagleray.spec.serving import Endpoint

# The models of documents are imported inside: commands import this module at start-up, and help needs no models.


def read_document(file: Path, *, overrides: Sequence[str] | None, storage: str | None) -> Loaded:
    """The document as a run takes it: overrides in it, every path absolute, the storage decided."""
    from eagleray.spec import document, locations

    loaded = document.load(file, overrides=overrides or ())
    return locations.resolve(loaded, option=storage, environment=storages.environment(), current=Path.cwd())


def storage_of(document: FineTune) -> str:
    """Where the records of a document are that was read by `read_document`."""
    assert document.spec.storage is not None
    return document.spec.storage


def endpoint_storage(document: Endpoint, file: Path, *, storage: str | None) -> str:
    """Where the registry is that a document of kind Endpoint serves from."""
    from eagleray.spec import locations

    written = document.spec.storage
    if storage is None and not storages.environment() and written is not None:
        return locations.location(written, (Path.cwd() / file).parent)
    return storages.uri(storage)
