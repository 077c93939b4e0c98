"""How is a run followed by someone who sees nothing of it but its storage?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from eagleray.errors import UserError
from eagleray.store import events, runs, signs
from eagleray.store.events import Event
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.patience import persist
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.store.sweeps import Log, Sweep

EARLIER_EVENTS = 5
"""How many of those that had happened before are told."""
_FIRST_S, _FIRST_REMOTE_S, _LONGEST_S = 1.0, 2.0, 10.0
"""Between two looks; longer and longer while nothing new is heard. A look costs three requests."""
_GIVE_UP_AFTER_S = 600.0

Sleep = Callable[[float], None]
Now = Callable[[], datetime]
Tell = Callable[[list[Event]], None]


class Onlooker(Protocol):
    """Who is told what is seen: what an Observer of `train.run` has of this."""

    def say(self, message: str) -> None: ...
    def warn(self, message: str) -> None: ...
    def created(self, record: RunRecord) -> None: ...
    def progress(self, progress: ProgressRecord) -> None: ...
    def event(self, event: Event) -> None: ...


class SweepOnlooker(Onlooker, Protocol):
    """The same of a sweep."""

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the storage found."""

    record: RunRecord
    progress: ProgressRecord | None
    events: tuple[Event, ...]  # since the look before
    is_silent: bool  # it has not ended, and nothing was heard of it for long


def find(objects: Objects, run_or_name: str) -> RunRecord:
    """The run of this id; else the newest of this name, however it is doing. Raises UserError."""
    newest = None if runs.is_claimed(objects, run_or_name) else next(runs.of_name(objects, run_or_name), None)
    return newest or runs.find(objects, run_or_name)


def follow_run(
    objects: Objects, run: str, onlooker: Onlooker, *, sleep: Sleep = time.sleep, now: Now = lambda: datetime.now(UTC)
) -> RunRecord:
    """Look on until a run has ended; returns its record.

    Raises:
        UserError: it was deleted.
        StorageError: the storage did not answer for ten minutes.
    """
    is_first = True

    def tell(found: list[Event]) -> None:
        nonlocal is_first
        for event in found[-EARLIER_EVENTS:] if is_first else found:
            onlooker.event(event)
        is_first = False

    return _follow(objects, run, onlooker, tell=tell, sleep=sleep, now=now)


def follow_sweep(
    objects: Objects,
    run: str,
    onlooker: SweepOnlooker,
    *,
    sleep: Sleep = time.sleep,
    now: Now = lambda: datetime.now(UTC),
) -> RunRecord:
    """The same of a sweep."""
    log = Log()

    def tell(found: list[Event]) -> None:
        onlooker.sweep(log.read(found), frozenset(log.going))

    return _follow(objects, run, onlooker, tell=tell, sleep=sleep, now=now)


def _follow(objects: Objects, run: str, onlooker: Onlooker, *, tell: Tell, sleep: Sleep, now: Now) -> RunRecord:
    reader = events.Reader(objects, run)
    first_s = _FIRST_S if objects.local_path else _FIRST_REMOTE_S
    before, pause_s = None, first_s
    while True:
        seen = _look_patiently(objects, run, reader, onlooker, sleep=sleep, now=now)
        is_new = before is None or bool(seen.events) or seen.progress != before.progress
        _tell(seen, before, onlooker, tell)
        if signs.has_ended(seen.record):
            return seen.record
        pause_s = first_s if is_new else min(pause_s * 1.5, _LONGEST_S)
        before = seen
        sleep(pause_s)


def _look_patiently(
    objects: Objects, run: str, reader: events.Reader, onlooker: Onlooker, *, sleep: Sleep, now: Now
) -> Seen:
    try:
        return persist(
            lambda: _look(objects, run, reader, now()),
            give_up_after_s=_GIVE_UP_AFTER_S,
            on_trouble=lambda error: onlooker.warn(f"{error}; trying again"),
            sleep=sleep,
        )
    except ObjectMissing as error:
        raise UserError(f"{run} is not on {objects.uri} any more: somebody has deleted it") from error


def _look(objects: Objects, run: str, reader: events.Reader, now: datetime) -> Seen:
    record = runs.read(objects, run)  # first: what comes before its end is then seen, too
    progress = runs.read_progress(objects, run)
    heard_at = signs.heard_at(objects, record, progress, now=now)
    is_silent = not signs.has_ended(record) and signs.is_silent(heard_at, now=now)
    return Seen(record, progress, tuple(reader.new()), is_silent)


def _tell(seen: Seen, before: Seen | None, onlooker: Onlooker, tell: Tell) -> None:
    if before is None:
        onlooker.created(seen.record)
    if before is None or seen.events:
        tell(list(seen.events))
    if seen.progress is not None and (before is None or seen.progress != before.progress):
        onlooker.progress(seen.progress)
    was_silent = before is not None and before.is_silent
    if seen.is_silent and not was_silent:
        minutes = runs.ALIVE_FOR.total_seconds() / 60
        onlooker.warn(
            f"nothing was heard of {seen.record.run} for {minutes:.0f} minutes: it seems dead. Started again, its "
            "command goes on where it was saved last"
        )
    if was_silent and not seen.is_silent:
        onlooker.say(f"{seen.record.run} is heard of again")
