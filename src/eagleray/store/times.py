"""What has an attempt done with its time? One object an attempt, replaced as it goes on."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from eagleray.store import paths, records
from eagleray.store.objects import Objects
from eagleray.store.records import Record

Activity = Literal["steps", "data", "checkpoint", "evaluation"]

MAX_SAVED = 100
"""Of the checkpoints the newest so many are noted: a run hardly ever goes on from an earlier one."""


class Saved(Record):
    """A checkpoint, and the seconds of steps that the attempt had behind it then."""

    step: int
    steps_s: float


class AttemptTimes(Record):
    """The time of an attempt's first worker, from its first step on. What it does meanwhile in threads is no time."""

    lease: int
    until: AwareDatetime
    step: int
    """The last one that counts here."""
    seconds: dict[Activity, float] = Field(default_factory=dict)
    """`steps`: without `data`, the wait until all workers had read their part. `checkpoint`: training stood still."""
    saved: tuple[Saved, ...] = ()


def put(objects: Objects, run: str, times: AttemptTimes) -> None:
    """Write how an attempt's time has gone, replacing what was said before."""
    objects.put(paths.times(run, times.lease), records.dump(times))


def read_all(objects: Objects, run: str) -> list[AttemptTimes]:
    """Of all attempts that have told, in their order."""
    return [records.load(objects, info.key, AttemptTimes) for info in objects.list(paths.times_folder(run))]
