"""Which API keys are there, what may each do, and whose is the one that somebody shows?

The text of a key is shown once, to who makes it; only its SHA-256 is kept. That is enough for 256 random bits: a slow
hash protects what people can think up. A name may have several keys that work at once, each with a number: a new one
is handed out while the old one goes on to work, and is revoked when nobody uses it any more.

Keys lie on the storage, an object each, or in one JSON file, as a Kubernetes secret mounts it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, ValidationError

from eagleray.errors import StorageError, UserError
from eagleray.spec.base import Name
from eagleray.store import paths, records
from eagleray.store.objects import ObjectInfo, Objects
from eagleray.store.records import Damaged, Record

Scope = Literal["predict", "admin"]
State = Literal["live", "expired", "revoked"]

PREFIX = "er_"  # so that people and scanners for leaked secrets know one when they see it
_RANDOM_BYTES = 32

_log = logging.getLogger(__name__)
_name = TypeAdapter(Name)


class KeyRecord(Record):
    """What is kept of a key."""

    name: Name
    number: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(repr=False)
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    requests_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    def state(self, now: datetime) -> State:
        """Whether it works, and why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only place where its text is."""

    text: str
    record: KeyRecord

    def __repr__(self) -> str:
        return f"NewKey({self.record.name!r}, {self.record.number})"


class KeyHome(Protocol):
    """Where keys are kept."""

    def records(self) -> list[KeyRecord]:
        """All of them, those revoked included, by name and number."""

    def add(self, record: KeyRecord) -> KeyRecord:
        """Keep a key under the next number of its name that is free, from the record's on."""

    def replace(self, changed: Iterable[KeyRecord]) -> None:
        """Keep these in place of those with the same name and number."""


def create(
    home: KeyHome,
    name: str,
    *,
    now: datetime,
    scopes: tuple[Scope, ...] = ("predict",),
    expires_at: datetime | None = None,
    requests_per_minute: float | None = None,
) -> NewKey:
    """Make a key; those that the name has go on to work. Raises UserError for a name that cannot be one."""
    text = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    record = KeyRecord(
        name=_check_name(name),
        number=1,
        sha256=_sha256(text),
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
    )
    return NewKey(text, home.add(record))


def revoke(home: KeyHome, name: str, *, number: int | None = None, now: datetime) -> list[KeyRecord]:
    """Revoke the keys of a name, or one of them; returns those that were not revoked yet.

    Raises:
        UserError: there is no such key; says which there are.
    """
    kept = home.records()
    meant = [record for record in kept if record.name == name and number in (None, record.number)]
    if not meant:
        raise UserError(_no_such_key(name, number, kept))
    revoked = [record.model_copy(update={"revoked_at": now}) for record in meant if record.revoked_at is None]
    home.replace(revoked)
    return revoked


def load(home: KeyHome) -> KeyRing:
    """The keys as they are now."""
    return KeyRing(tuple(home.records()))


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys, to look up the one that somebody shows."""

    records: tuple[KeyRecord, ...] = ()
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def find(self, presented: str) -> KeyRecord | None:
        """The key with this text. None for one that is unknown, expired or revoked, which take equally long.

        A hash for which there are several records works only if all of them do.
        """
        digest, now = _sha256(presented), self.clock()
        matching = [record for record in self.records if hmac.compare_digest(record.sha256, digest)]
        is_live = all(record.state(now) == "live" for record in matching)
        return matching[-1] if matching and is_live else None


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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _check_name(name: str) -> str:
    try:
        return _name.validate_python(name)
    except ValidationError as error:
        raise UserError(
            f"{name!r} cannot be the name of a key: give at most 40 lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit"
        ) from error


def _no_such_key(name: str, number: int | None, kept: list[KeyRecord]) -> str:
    numbers = [str(record.number) for record in kept if record.name == name]
    if numbers:
        return f"{name} has no key number {number}: it has {', '.join(numbers)}"
    names = sorted({record.name for record in kept})
    return f"there is no key {name}: there " + (f"are {', '.join(names)}" if names else "is none at all")


def _number(key: str) -> int:
    stem = key.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdecimal() else 0


def _sorted(kept: Iterable[KeyRecord]) -> list[KeyRecord]:
    return sorted(kept, key=lambda record: (record.name, record.number))


def _cannot(path: Path, operation: str, error: OSError) -> StorageError:
    return StorageError(f"{path}: cannot {operation} the keys file: {error.strerror or error}")
