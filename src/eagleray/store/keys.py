"""Which API keys are there, what may each do, and whose is the one that somebody shows?

The text of a key is shown once, to who makes it; only its SHA-256 is kept. That is enough for 256 random bits: a slow
hash protects what people can think up. A name may have several keys that work at once, each with a number: a new one
is handed out while the old one goes on to work, and is revoked when nobody uses it any more.

Keys lie on the storage, an object each, or in one JSON file, as a Kubernetes secret mounts it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, ValidationError

from eagleray.errors import UserError
from eagleray.spec.base import Name
from eagleray.store.records import Record

Scope = Literal["predict", "admin"]
State = Literal["live", "expired", "revoked"]

PREFIX = "er_"  # so that people and scanners for leaked secrets know one when they see it
_RANDOM_BYTES = 32

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
