"""How does a checkpoint get to the storage while training goes on?"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from eagleray.errors import StorageError
from eagleray.store import checkpoints, ledger, paths, quarantine
from eagleray.store.checkpoints import CheckpointId, FileEntry, Manifest
from eagleray.store.objects import Objects
from eagleray.store.patience import persist
from eagleray.train.feed import BadSample
from eagleray.train.group import Group
from eagleray.train.shards import Snapshot

MARK_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Use:
    """The samples that this worker used in a step."""

    step: int
    epoch: int
    used: tuple[int, ...]
    skipped: tuple[BadSample, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What one rank brings to a checkpoint."""

    snapshot: Snapshot
    write_model: Callable[[Path], None] | None  # at the first rank: writes the model's files into a directory
    uses: tuple[Use, ...]
    parent_run: str = ""  # of a fork's first checkpoint: the run that its parent is of


@dataclass(frozen=True, slots=True)
class Committed:
    """A checkpoint that exists."""

    size_bytes: int
    num_skipped: int  # samples that were left out since the checkpoint before


class Upload:
    """One checkpoint on its way. All ranks start one for the same checkpoint; at most one is under way."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)
        self._thread.start()

    def wait(self, mark: Callable[[str], None], *, timeout_s: float = float("inf")) -> float:
        """Wait for its end and return the seconds that took. Raises what went wrong, the same at every rank."""
        started = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - started < timeout_s:
            mark("waiting for the upload of a checkpoint")
            self._thread.join(MARK_INTERVAL_S)
        if self._error is not None:
            raise self._error
        return time.monotonic() - started

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error


def upload(
    objects: Objects,
    manifest: Manifest,
    contents: Contents,
    *,
    group: Group,
    scratch: Path,
    num_samples: int,
    check: Callable[[], None],
    on_trouble: Callable[[StorageError], None],
) -> Committed:
    """Write this rank's files, wait for the others', and commit: the first rank writes the manifest. Collective.

    `manifest` lacks its files only. `check` raises where this attempt must not write any more.

    Raises:
        StorageError: some rank could not write, and no rank has committed.
    """

    def durably(write: Callable[[], Any]) -> Any:
        return persist(write, on_trouble=on_trouble)

    identity = CheckpointId(step=manifest.step, lease=manifest.lease)
    entries, problem = _attempt(lambda: _put_files(objects, manifest.run, identity, contents, group, scratch, durably))
    answers = group.exchange_beside((entries, problem, contents.uses))
    problem = next((problem for _, problem, _ in answers if problem), "")
    files = tuple(entry for entries, _, _ in answers for entry in entries or ())
    whole = manifest.model_copy(update={"files": files})
    if not problem and group.is_first:
        uses = [uses for *_, uses in answers]
        _, problem = _attempt(lambda: _commit(objects, whole, uses, num_samples, contents.parent_run, check, durably))
    problem = group.exchange_beside(problem)[0]
    if problem:
        raise StorageError(problem)
    num_skipped = sum(len(use.skipped) for *_, uses in answers for use in uses)
    return Committed(sum(entry.size_bytes for entry in files), num_skipped)


def _put_files(
    objects: Objects,
    run: str,
    identity: CheckpointId,
    contents: Contents,
    group: Group,
    scratch: Path,
    durably: Callable[[Callable[[], Any]], Any],
) -> list[FileEntry]:
    directory = scratch / str(identity)
    directory.mkdir()
    try:
        contents.snapshot.write(directory / paths.state_shard(group.rank))
        if contents.write_model is not None:
            contents.write_model(directory)
        entries = []
        for path in sorted(file for file in directory.rglob("*") if file.is_file()):
            entry = checkpoints.describe_file(path, path.relative_to(directory).as_posix())
            durably(partial(checkpoints.put_file, objects, run, identity, entry, path))
            entries.append(entry)
        return entries
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _commit(
    objects: Objects,
    manifest: Manifest,
    uses: Sequence[tuple[Use, ...]],
    num_samples: int,
    parent_run: str,
    check: Callable[[], None],
    durably: Callable[[Callable[[], Any]], Any],
) -> None:
    """Write down which samples were used, then the manifest: killed in between, the ledger is of no checkpoint."""
    identity = CheckpointId(step=manifest.step, lease=manifest.lease)
    steps = [
        ledger.StepUse(
            step=ranks[0].step,
            epoch=ranks[0].epoch,
            ranks=[list(use.used) for use in ranks],
            skipped=[sample.index for use in ranks for sample in use.skipped],
        )
        for ranks in zip(*uses, strict=True)
    ]
    durably(
        lambda: ledger.write(
            objects,
            manifest.run,
            identity,
            parent=manifest.parent,
            num_samples=num_samples,
            steps=steps,
            parent_run=parent_run,
        )
    )
    bad = [
        quarantine.QuarantineRecord(
            index=sample.index, place=sample.place, error=sample.error, step=use.step, at=datetime.now(UTC)
        )
        for ranks in uses
        for use in ranks
        for sample in use.skipped
    ]
    if bad:
        durably(lambda: quarantine.add(objects, manifest.run, bad))
    durably(lambda: checkpoints.commit(objects, manifest, check=check))


def _attempt(work: Callable[[], Any]) -> tuple[Any, str]:
    """What `work` returns, or what went wrong: a rank that fails must not leave the others waiting."""
    try:
        return work(), ""
    except Exception as error:
        return None, str(error) or repr(error)
