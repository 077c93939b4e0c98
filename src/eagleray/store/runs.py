"""Which runs there are, what each was made from, and how far it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from eagleray.errors import UserError
from eagleray.store import paths, records
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Damaged, Record

ALIVE_FOR = timedelta(minutes=2)
"""A run that said nothing for longer is taken for dead."""
_CONCURRENT_READS = 8  # a listing of a hundred runs on S3 takes a second instead of several
_SHOWN_RUNS = 10
_NUMBERED = re.compile(r"(?P<name>.+)-(?P<number>\d{4,})")


class LockRecord(Record):
    """What a run was made with, so that it can be made again."""

    versions: dict[str, str]
    git_commit: str
    data_fingerprint: str
    seed: int
    hardware: dict[str, Any]
    python: str
    model_sha256: str = ""
    metrics_sha256: str = ""
    prompt_of: str = ""
    """The run and the step whose prompt `method.start_from` names, as `run@step`."""


class ForkRecord(Record):
    """Where a run began that did not begin with the pretrained weights."""

    run: str
    step: int
    keeps_position: bool
    """Whether it took over optimizer and position in the data, or the weights alone."""


class RunRecord(Record):
    """One run. It is the only object of a run that is replaced as a whole by the driver."""

    run: str
    name: str
    kind: str = "FineTune"
    phase: Literal["pending", "running", "succeeded", "failed", "stopped"]
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    step: int = 0
    total_steps: int | None = None
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Of the "validation" and "test" split; "untuned" and "majority" are what no learning scores, to compare."""
    best_step: int | None = None
    error: str = ""
    restarts: int = 0
    forked_from: ForkRecord | None = None
    """The checkpoint of another run that this one began with."""
    outdone_by: str = ""
    """The run that the same command found to be better: a student's teacher, where the student was no better."""


class ProgressRecord(Record):
    """What a run is doing now; replaced every second or so."""

    step: int
    total_steps: int | None = None
    epoch: float = 0.0
    loss: float | None = None
    learning_rate: float | None = None
    samples_per_s: float | None = None
    tokens_per_s: float | None = None
    padding_share: float | None = None
    useful_s: float = 0.0
    """Time in optimizer steps since the workers have started."""
    phase: Literal["preparing", "training", "evaluating", "saving", "done"]
    updated_at: AwareDatetime


def create(
    objects: Objects,
    *,
    name: str,
    document: str,
    lock: LockRecord,
    now: datetime,
    kind: str = "FineTune",
    forked_from: ForkRecord | None = None,
) -> RunRecord:
    """Begin a run under the next id of `name`; concurrent creators get different ids.

    An id is never given again, not even that of a deleted run: versions that were registered of it name it.

    The document claims the id, the record comes last and makes the run exist: a creator that is killed in between
    leaves an id that is never listed and never given to another run.
    """
    taken = ids_of(objects, name)
    taken += _deleted_ids(objects, name)  # listed after those that are there: a deletion in between is seen in one
    number = max(map(_number_of, taken), default=0) + 1
    while not objects.create(paths.document(run := f"{name}-{number:04d}"), document.encode()):
        number += 1
    objects.put(paths.lock(run), records.dump(lock))
    record = RunRecord(run=run, name=name, kind=kind, phase="pending", started_at=now, forked_from=forked_from)
    save(objects, record)
    return record


def save(objects: Objects, record: RunRecord) -> None:
    """Write the record of a run, replacing the one before."""
    objects.put(paths.record(record.run), records.dump(record))


def read(objects: Objects, run: str) -> RunRecord:
    """The record of a run. Raises ObjectMissing, and Damaged where it cannot be understood."""
    return records.load(objects, paths.record(run), RunRecord)


def read_document(objects: Objects, run: str) -> str:
    """The document of a run, as it was given."""
    return objects.read(paths.document(run)).decode()


def read_lock(objects: Objects, run: str) -> LockRecord:
    """What a run was made with."""
    return records.load(objects, paths.lock(run), LockRecord)


def put_progress(objects: Objects, run: str, progress: ProgressRecord) -> None:
    """Say how far a run is."""
    objects.put(paths.progress(run), records.dump(progress))


def read_progress(objects: Objects, run: str) -> ProgressRecord | None:
    """How far a run is; None where it has not said so yet."""
    try:
        return records.load(objects, paths.progress(run), ProgressRecord)
    except ObjectMissing:
        return None


def list_runs(objects: Objects, *, known: Mapping[str, RunRecord] = MappingProxyType({})) -> list[RunRecord]:
    """All runs, newest first. One whose record cannot be understood is listed as failed, with the reason.

    Those in `known` are not read again, only whether they are still there.
    """
    folders = [folder for folder in objects.folders(paths.RUNS) if _is_run_id(folder)]
    with ThreadPoolExecutor(_CONCURRENT_READS) as threads:
        found = threads.map(lambda run: known.get(run) or _read_for_list(objects, run), folders)
    listed = [record for record in found if record is not None]
    return sorted(listed, key=lambda record: (record.started_at, record.run), reverse=True)


def find(objects: Objects, run_or_name: str) -> RunRecord:
    """The run of this id; else the newest succeeded run of this name; else the newest. Raises UserError.

    One that its command found to be no better than another is not meant by a name.
    """
    listed = list_runs(objects)
    by_id = [record for record in listed if record.run == run_or_name]
    by_name = [record for record in listed if record.name == run_or_name]
    succeeded = [record for record in by_name if record.phase == "succeeded"]
    best = [record for record in succeeded if not record.outdone_by]
    for candidates in (by_id, best, succeeded, by_name):
        if candidates:
            return candidates[0]
    raise UserError(_not_found(objects, run_or_name, listed))


def of_name(objects: Objects, name: str) -> Iterator[RunRecord]:
    """The runs of a name, newest first, each read when it is asked for."""
    for run in sorted(ids_of(objects, name), key=_number_of, reverse=True):
        try:
            yield read(objects, run)
        except ObjectMissing:  # its creator was killed before it existed
            continue


def ids_of(objects: Objects, name: str) -> list[str]:
    """The ids that are taken of a name, those whose run was never written too."""
    return [folder for folder in objects.folders(paths.RUNS) if _name_of(folder) == name]


def is_claimed(objects: Objects, run: str) -> bool:
    """Whether anything is stored under this id: also what a killed creation or deletion left."""
    return _is_run_id(run) and run in objects.folders(paths.RUNS)


def delete(objects: Objects, run: str) -> None:
    """Delete a run and all that belongs to it.

    First it is noted that the id was given. Then the record goes: killed anywhere after that, the run is no longer
    listed as if it were whole, and deleting it again finishes. The document goes last: it holds the id until then.
    """
    objects.put(paths.deleted_run(run), b"")
    objects.delete([paths.record(run)])
    objects.delete_folder(paths.run(run), last=paths.document(run))


def _deleted_ids(objects: Objects, name: str) -> list[str]:
    ids = (info.key.rpartition("/")[2] for info in objects.list(paths.deleted_runs()))
    return [run for run in ids if _name_of(run) == name]


def _read_for_list(objects: Objects, run: str) -> RunRecord | None:
    try:
        return read(objects, run)
    except ObjectMissing:
        return None
    except Damaged as error:
        never = datetime.fromtimestamp(0, UTC)
        return RunRecord(run=run, name=_name_of(run), phase="failed", started_at=never, error=str(error))


def _not_found(objects: Objects, wanted: str, listed: list[RunRecord]) -> str:
    if not listed:
        return f"there is no run {wanted!r}, nor any other on {objects.uri}: give the right --storage"
    known = list(dict.fromkeys([*(record.run for record in listed), *(record.name for record in listed)]))
    close = difflib.get_close_matches(wanted, known, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    shown = ", ".join(record.run for record in listed[:_SHOWN_RUNS])
    more = f" and {len(listed) - _SHOWN_RUNS} more" if len(listed) > _SHOWN_RUNS else ""
    return f"there is no run {wanted!r} on {objects.uri}: {hint}There are: {shown}{more}"


def _name_of(run: str) -> str:
    matched = _NUMBERED.fullmatch(run)
    return matched["name"] if matched else run


def _number_of(run: str) -> int:
    matched = _NUMBERED.fullmatch(run)
    return int(matched["number"]) if matched else 0


def _is_run_id(folder: str) -> bool:
    return _NUMBERED.fullmatch(folder) is not None and paths.is_run_id(folder)
