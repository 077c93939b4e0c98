"""What happened to a run, in order: one object an event, numbered by exclusive creation."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from pydantic import AwareDatetime, Field

from eagleray.store import paths, records
from eagleray.store.objects import Objects
from eagleray.store.records import Damaged, Record


class Event(Record):
    """One thing that happened."""

    kind: str
    at: AwareDatetime
    fields: dict[str, Any] = Field(default_factory=dict)


class Writer:
    """Appends without looking for the end each time: for who alone writes to a run, and much."""

    def __init__(self, objects: Objects, run: str) -> None:
        self._objects, self._run = objects, run
        self._next = _next_number(objects, run)

    def append(self, event: Event) -> None:
        """Add an event. May be tried again after a StorageError: a copy of an event tells nothing new."""
        self._next = _create(self._objects, self._run, self._next, event) + 1


def append(objects: Objects, run: str, *, kind: str, now: datetime, **fields: Any) -> None:
    """Add an event. Writers in several processes never overwrite each other."""
    _create(objects, run, _next_number(objects, run), Event(kind=kind, at=now, fields=fields))


def drop_torn_end(objects: Objects, run: str) -> str:
    """Delete the last event where it is damaged, as a crash of the storage itself leaves it; returns what was wrong.

    For who alone writes to the run. What that event told is lost; whose work it told of tells it again.
    """
    keys = _keys(objects, run)
    if not keys:
        return ""
    try:
        records.load(objects, keys[-1], Event)
    except Damaged as error:
        objects.delete([keys[-1]])
        return str(error)
    return ""


def read_events(objects: Objects, run: str) -> list[Event]:
    """All events in their order."""
    return Reader(objects, run).new()


class Reader:
    """Reads each event once, as they come."""

    def __init__(self, objects: Objects, run: str) -> None:
        self._objects, self._run = objects, run
        self._last = ""

    def new(self) -> list[Event]:
        """The events since the last call, at first all of them."""
        keys = [key for key in _keys(self._objects, self._run) if key > self._last]
        found = [records.load(self._objects, key, Event) for key in keys]
        self._last = keys[-1] if keys else self._last
        return found


def _create(objects: Objects, run: str, number: int, event: Event) -> int:
    """Write an event under the first free number from `number` on, and return that."""
    data = records.dump(event)
    while not objects.create(paths.event(run, number), data):
        number += 1
    return number


def _next_number(objects: Objects, run: str) -> int:
    keys = _keys(objects, run)
    return int(PurePosixPath(keys[-1]).stem) + 1 if keys else 1


def _keys(objects: Objects, run: str) -> list[str]:
    return [info.key for info in objects.list(paths.events(run))]
