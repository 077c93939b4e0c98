"""Who drives a run: one process at a time, and one that lost the run can commit no more.

Each start of a run's workers takes the next number by exclusive creation; the highest number counts. Its holder gives
a sign of life every few seconds. Who wants a run that is held watches for that sign on its own clock, since the clocks
of two machines differ, and takes the next number if none comes. The one before was perhaps only asleep: before it
commits anything it checks that its number is still the highest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePosixPath

from pydantic import AwareDatetime, ValidationError

from eagleray.errors import StorageError, UserError
from eagleray.store import holders, paths, records
from eagleray.store.holders import Holder, this_process
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Record

__all__ = [
    "HeartbeatRecord",
    "Holder",
    "LeaseHeld",
    "LeaseLost",
    "LeaseRecord",
    "check",
    "heard_at",
    "is_released",
    "newest_number",
    "succeed",
    "take",
    "this_process",
]

DEAD_AFTER_S = 30.0
_LOOK_EVERY_S = 1.0

Clock = Callable[[], datetime]


class LeaseLost(StorageError):
    """Another driver, or a later attempt, has the run now: nothing more must be written to it."""


class LeaseHeld(UserError):
    """The run is driven by another process that is alive."""


class LeaseRecord(Record):
    """The right to write to a run, until there is one with a higher number."""

    number: int
    holder: Holder
    taken_at: AwareDatetime


class HeartbeatRecord(Record):
    """A sign of life. It is the change that tells: of two looks at the same bytes nothing follows."""

    count: int
    at: AwareDatetime
    is_released: bool = False  # the holder is done: the next may take over at once


def take(
    objects: Objects,
    run: str,
    holder: Holder,
    *,
    now: Clock,
    on_wait: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
    dead_after_s: float = DEAD_AFTER_S,
) -> LeaseRecord:
    """Take over a run that nobody drives: at once where that is certain, else after `dead_after_s` without a sign.

    `on_wait` is told once that this has begun. May be tried again after a StorageError: what the holder has taken
    already it is given.

    Raises:
        LeaseHeld: its driver lives, or another one was faster.
    """
    newest = _newest(objects, run)
    if newest is None:
        return _create(objects, run, 1, holder, now)
    if newest.holder.nonce == holder.nonce and not _is_release(_heartbeat(objects, run, newest.number)):
        return newest
    if not _is_free(newest, _heartbeat(objects, run, newest.number)):
        on_wait(f"{newest.holder} drove run {run} last: looking for {dead_after_s:g} s whether it still does")
        _watch(objects, run, newest, sleep=sleep, num_looks=math.ceil(dead_after_s / _LOOK_EVERY_S))
    return _create(objects, run, newest.number + 1, holder, now)


def succeed(objects: Objects, run: str, mine: LeaseRecord, *, now: Clock) -> LeaseRecord:
    """Take the next number as the holder of this one, for a new attempt. May be tried again, as `take`.

    Raises:
        LeaseLost: another has taken it.
    """
    newest = _newest(objects, run)
    if newest is not None and newest.number == mine.number + 1 and newest.holder.nonce == mine.holder.nonce:
        return newest
    check(objects, run, mine.number)
    try:
        return _create(objects, run, mine.number + 1, mine.holder, now)
    except LeaseHeld as error:
        raise _lost(objects, run, mine.number) from error


def check(objects: Objects, run: str, number: int) -> None:
    """Raise LeaseLost where this number is not the highest any more."""
    if newest_number(objects, run) != number:
        raise _lost(objects, run, number)


def newest_number(objects: Objects, run: str) -> int:
    """The number of the newest attempt; 0 where there was none."""
    return max(_numbers(objects, run), default=0)


def heard_at(objects: Objects, run: str) -> datetime | None:
    """When the newest holder gave its last sign of life, by its own clock; None where there was none."""
    try:
        return HeartbeatRecord.model_validate_json(_heartbeat(objects, run, newest_number(objects, run))).at
    except ValidationError:
        return None


def is_released(objects: Objects, run: str) -> bool:
    """Whether the newest holder has said that it is done."""
    number = newest_number(objects, run)
    return number == 0 or _is_release(_heartbeat(objects, run, number))


def _watch(objects: Objects, run: str, lease: LeaseRecord, *, sleep: Callable[[float], None], num_looks: int) -> None:
    """Return when the lease is free, or its holder gave no sign at so many looks. Raises LeaseHeld at a sign.

    Looks are counted and not seconds: where this machine itself sleeps meanwhile, it must not take the other for dead.
    """
    first = _heartbeat(objects, run, lease.number)
    for _ in range(num_looks):
        sleep(_LOOK_EVERY_S)
        seen = _heartbeat(objects, run, lease.number)
        if _is_free(lease, seen):
            return
        if seen != first:
            raise _held(run, lease.holder)


def _is_free(lease: LeaseRecord, heartbeat: bytes) -> bool:
    """Whether it is certain that its holder is done or dead."""
    return _is_release(heartbeat) or holders.is_dead(lease.holder)


def _create(objects: Objects, run: str, number: int, holder: Holder, now: Clock) -> LeaseRecord:
    wanted = LeaseRecord(number=number, holder=holder, taken_at=now())
    if objects.create(paths.lease(run, number), records.dump(wanted)):
        return wanted
    # A remote storage's answer can be lost and the request be sent again: then it is one's own that is there.
    there = records.load(objects, paths.lease(run, number), LeaseRecord)
    if there.holder.nonce != holder.nonce:
        raise _held(run, there.holder)
    return there


def _newest(objects: Objects, run: str) -> LeaseRecord | None:
    number = newest_number(objects, run)
    return records.load(objects, paths.lease(run, number), LeaseRecord) if number else None


def _numbers(objects: Objects, run: str) -> list[int]:
    return [int(PurePosixPath(info.key).stem) for info in objects.list(paths.leases(run))]


def _heartbeat(objects: Objects, run: str, number: int) -> bytes:
    try:
        return objects.read(paths.heartbeat(run, number))
    except ObjectMissing:  # no sign yet
        return b""


def _is_release(heartbeat: bytes) -> bool:
    try:
        return HeartbeatRecord.model_validate_json(heartbeat).is_released
    except ValidationError:
        return False


def _held(run: str, holder: Holder) -> LeaseHeld:
    return LeaseHeld(
        f"run {run} is being driven by {holder}, which gave a sign of life just now: wait for it, or stop it"
    )


def _lost(objects: Objects, run: str, number: int) -> LeaseLost:
    newest = _newest(objects, run)
    if newest is None or newest.number < number:
        return LeaseLost(f"run {run} was deleted: what still works on it must not write any more")
    return LeaseLost(
        f"run {run} is driven by {newest.holder} now (lease {newest.number}): what had lease {number} must not write "
        "any more"
    )
