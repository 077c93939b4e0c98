"""Where API keys are kept: on the storage, an object each, or in one JSON file, as a Kubernetes secret mounts it."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from eagleray.errors import StorageError, UserError
from eagleray.store import paths, records
from eagleray.store.keys import KeyRecord
from eagleray.store.objects import ObjectInfo, Objects
from eagleray.store.records import Damaged, Record

_log = logging.getLogger(__name__)


class StoredKeys:
    """Keys on a storage: an exclusively created object each, numbered within its name; revoking writes it again.

    Nothing but the revocation ever changes, so of two that revoke at once it does not matter who is last.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._read: dict[ObjectInfo, KeyRecord | None] = {}

    def records(self) -> list[KeyRecord]:
        """All of them. Objects that look in the listing as they did the last time are not read again.

        A damaged one lets nobody in, and does not keep the others out.
        """
        listed = self._objects.list(paths.API_KEYS)
        # A revocation shows in the listing however coarse its times are: it makes the object longer.
        self._read = {info: self._read[info] if info in self._read else self._load(info.key) for info in listed}
        return _sorted(record for record in self._read.values() if record is not None)

    def add(self, record: KeyRecord) -> KeyRecord:
        """Keep a key under the next free number."""
        taken = self._objects.list(paths.api_keys(record.name))
        number = max([record.number, *(_number(info.key) + 1 for info in taken)])
        while not self._create(record := record.model_copy(update={"number": number})):
            number += 1
        return record

    def replace(self, changed: Iterable[KeyRecord]) -> None:
        """Write these again."""
        for record in changed:
            self._objects.put(paths.api_key(record.name, record.number), records.dump(record))

    def _create(self, record: KeyRecord) -> bool:
        key = paths.api_key(record.name, record.number)
        if self._objects.create(key, records.dump(record)):
            return True
        # A remote server's answer may have been lost: then what is there is ours.
        found = self._load(key)
        return found is not None and found.sha256 == record.sha256

    def _load(self, key: str) -> KeyRecord | None:
        try:
            record = records.load(self._objects, key, KeyRecord)
        except Damaged as error:
            _log.warning("an API key is passed over: %s", error)
            return None
        if key != paths.api_key(record.name, record.number):
            _log.warning("an API key is passed over: %s: %s lies under another's key", self._objects.uri, key)
            return None
        return record


class FileKeys:
    """Keys in a JSON file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self) -> list[KeyRecord]:
        """All of them. Raises UserError where there is no such file, Damaged where it is no keys file."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"there is no keys file {self._path}: `eagleray keys create` makes one") from error
        except OSError as error:
            raise _cannot(self._path, "read", error) from error
        try:
            return _sorted(_KeysFile.model_validate_json(data).keys)
        except ValidationError as error:
            # Not pydantic's own words: they would quote the file.
            raise Damaged(f"{self._path}: this is no keys file, or a newer eagleray's: restore it") from error

    def add(self, record: KeyRecord) -> KeyRecord:
        """Keep a key; the file is made where there is none."""
        with self._locked():
            kept = self.records() if self._path.exists() else []
            highest = max((each.number for each in kept if each.name == record.name), default=0)
            added = record.model_copy(update={"number": max(record.number, highest + 1)})
            self._write([*kept, added])
        return added

    def replace(self, changed: Iterable[KeyRecord]) -> None:
        """Write the file with these in it."""
        with self._locked():
            kept = {(record.name, record.number): record for record in self.records()}
            kept.update({(record.name, record.number): record for record in changed})
            self._write(kept.values())

    def _write(self, kept: Iterable[KeyRecord]) -> None:
        path = self._path.resolve()
        try:
            # Made with mode 0600, in the same directory, so that the rename is atomic.
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as staged:
                try:
                    staged.write(records.dump(_KeysFile(keys=tuple(_sorted(kept)))))
                    staged.flush()
                    os.fsync(staged.fileno())
                    Path(staged.name).replace(path)
                except BaseException:
                    Path(staged.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise _cannot(path, "write", error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone in changing the files of the directory: of two changes at once none is lost."""
        try:
            descriptor = os.open(self._path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _cannot(self._path, "write", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _KeysFile(Record):
    keys: tuple[KeyRecord, ...]


def _number(key: str) -> int:
    stem = key.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdecimal() else 0


def _sorted(kept: Iterable[KeyRecord]) -> list[KeyRecord]:
    return sorted(kept, key=lambda record: (record.name, record.number))


def _cannot(path: Path, operation: str, error: OSError) -> StorageError:
    return StorageError(f"{path}: cannot {operation} the keys file: {error.strerror or error}")
