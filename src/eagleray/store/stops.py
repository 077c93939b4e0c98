"""Is an attempt asked to stop after its step, and why?"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime

from eagleray.store import paths, records
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Record

Reason = Literal["interrupt", "preemption", "resize"]


class StopRequest(Record):
    """The driver's wish, which the workers look for."""

    reason: Reason
    at: AwareDatetime


def request(objects: Objects, run: str, lease: int, *, reason: Reason, now: datetime) -> None:
    """Ask the workers of an attempt to save and stop after the step they are at."""
    objects.put(paths.stop(run, lease), records.dump(StopRequest(reason=reason, at=now)))


def read(objects: Objects, run: str, lease: int) -> StopRequest | None:
    """The request for an attempt; None where there is none."""
    try:
        return records.load(objects, paths.stop(run, lease), StopRequest)
    except ObjectMissing:
        return None
