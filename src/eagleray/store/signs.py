"""When was a run heard of last, and is it taken for dead?

Progress comes from a run's workers and heartbeats from who drives it: a sweep, and a run that prepares its data, write
heartbeats alone.
"""

from __future__ import annotations

from datetime import datetime

from eagleray.store import lease, runs
from eagleray.store.objects import Objects
from eagleray.store.runs import ProgressRecord, RunRecord


def heard_at(objects: Objects, record: RunRecord, progress: ProgressRecord | None, *, now: datetime) -> datetime:
    """The last sign of life of a run. The heartbeat is read only where the progress is old."""
    told_at = max(record.started_at, progress.updated_at) if progress else record.started_at
    if not is_silent(told_at, now=now):
        return told_at
    return max(told_at, lease.heard_at(objects, record.run) or told_at)


def is_alive(objects: Objects, record: RunRecord, *, now: datetime) -> bool:
    """Whether a run seems to be going on: it has not ended, and was heard of lately."""
    if has_ended(record):
        return False
    progress = runs.read_progress(objects, record.run)
    return not is_silent(heard_at(objects, record, progress, now=now), now=now)


def is_silent(at: datetime, *, now: datetime) -> bool:
    """Whether the last sign is so old that the run is taken for dead."""
    return now - at >= runs.ALIVE_FOR


def has_ended(record: RunRecord) -> bool:
    """Whether nobody works on the run, by its own word."""
    return record.phase not in ("pending", "running")
