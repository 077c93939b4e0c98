"""Which checkpoints of a run exist, are whole, and stay.

A checkpoint is a folder of files and a manifest with their sizes and hashes. The manifest is written last and deleted
first: a checkpoint without one does not exist.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from eagleray.errors import StorageError
from eagleray.store import paths, records
from eagleray.store.objects import CHUNK_BYTES, ObjectMissing, Objects
from eagleray.store.records import Damaged, Record

logger = logging.getLogger(__name__)

FORMAT = 1  # that of Manifest


def _plain_path(path: str) -> str:
    # A manifest from elsewhere must not write outside the directory that it is downloaded to.
    problem = paths.problem_of(path)
    if problem:
        raise ValueError(f"{path!r} cannot be a file of a checkpoint: {problem}")
    return path


class FileEntry(Record):
    """One file of a checkpoint."""

    path: Annotated[str, AfterValidator(_plain_path)]
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: str


class Manifest(Record):
    """What makes a checkpoint exist."""

    format: Literal[1] = 1
    run: str
    step: int
    epoch: float
    files: tuple[FileEntry, ...]
    metrics: dict[str, Any] = Field(default_factory=dict)
    world_size: int
    zero_stage: int
    versions: dict[str, str] = Field(default_factory=dict)
    created_at: AwareDatetime


def commit(
    objects: Objects,
    run: str,
    *,
    step: int,
    directory: Path,
    epoch: float,
    metrics: Mapping[str, Any],
    world_size: int,
    zero_stage: int,
    versions: Mapping[str, str],
    now: datetime,
) -> Manifest:
    """Store every file below `directory` as the checkpoint of `step`; the other arguments go into its manifest."""
    files = describe(directory)
    manifest = Manifest(
        run=run,
        step=step,
        epoch=epoch,
        files=files,
        metrics=dict(metrics),
        world_size=world_size,
        zero_stage=zero_stage,
        versions=dict(versions),
        created_at=now,
    )
    # After a crash and a resume the same step comes again: were its old manifest there while the files are replaced,
    # a second crash would leave a checkpoint that says it is whole and is not.
    objects.delete([paths.manifest(run, step)])
    for entry in files:
        objects.upload(f"{paths.checkpoint(run, step)}/{entry.path}", directory / entry.path)
    # Last: killed anywhere before this line, the checkpoint does not exist and the one before is the newest.
    objects.put(paths.manifest(run, step), records.dump(manifest))
    return manifest


def describe(directory: Path) -> tuple[FileEntry, ...]:
    """Path, size and hash of every file below `directory`, sorted by path. Raises StorageError where there is none."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    if not files:
        raise StorageError(f"{directory}: there is no file to save as a checkpoint")
    entries = tuple(_describe_file(path, path.relative_to(directory).as_posix()) for path in files)
    manifest_name = Path(paths.manifest("any", 0)).name
    if any(entry.path == manifest_name for entry in entries):
        raise StorageError(f"{directory}: a file of a checkpoint cannot be called {manifest_name}: rename it")
    return entries


def list_manifests(objects: Objects, run: str) -> list[Manifest]:
    """The checkpoints that exist, by step. Raises StorageError where one was written by a newer eagleray."""
    steps = (int(folder) for folder in objects.folders(paths.checkpoints(run)) if folder.isdecimal())
    found = (_read(objects, run, step) for step in sorted(steps))
    return [manifest for manifest in found if manifest is not None]


def verify(objects: Objects, run: str, step: int) -> list[str]:
    """What is wrong with a checkpoint, a line a file; empty where every size and hash is as the manifest says."""
    manifest = _read(objects, run, step)
    if manifest is None:
        return [f"{paths.manifest(run, step)} is missing or damaged"]
    folder = paths.checkpoint(run, step)
    sizes = {info.key: info.size_bytes for info in objects.list(folder)}
    problems = (_verify_file(objects, f"{folder}/{entry.path}", entry, sizes) for entry in manifest.files)
    return [problem for problem in problems if problem]


def download(objects: Objects, run: str, step: int, to: Path) -> Manifest:
    """Copy a checkpoint into a directory. Raises StorageError where a file is not as the manifest says."""
    manifest = _read(objects, run, step)
    if manifest is None:
        raise StorageError(f"{objects.uri}: {run} has no checkpoint of step {step}: see `eagleray runs show {run}`")
    for entry in manifest.files:
        key, path = f"{paths.checkpoint(run, step)}/{entry.path}", to / entry.path
        objects.download(key, path)
        if _describe_file(path, entry.path) != entry:
            raise StorageError(
                f"{objects.uri}: {key} is damaged: size or hash differ from the manifest. Use another step"
            )
    return manifest


def prune(objects: Objects, run: str, *, keep: int, best_step: int | None) -> list[int]:
    """Delete all checkpoints but the newest `keep` and the best one; the steps of those deleted.

    What uploads that never came to their manifest have left goes too, if it is older than the newest checkpoint.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, not {keep}: the newest checkpoint is what a run goes on from")
    steps = [manifest.step for manifest in list_manifests(objects, run)]
    if not steps:
        return []
    deleted = [step for step in steps[:-keep] if step != best_step]
    for step in deleted:
        # First: killed after this line, the rest is a leftover that the next prune finds, never a damaged checkpoint.
        objects.delete([paths.manifest(run, step)])
        objects.delete_folder(paths.checkpoint(run, step))
    for step in _leftovers(objects, run, committed=steps):
        objects.delete_folder(paths.checkpoint(run, step))
    return deleted


def _leftovers(objects: Objects, run: str, *, committed: list[int]) -> list[int]:
    # A folder newer than the newest checkpoint may be an upload that is still going on.
    folders = [int(folder) for folder in objects.folders(paths.checkpoints(run)) if folder.isdecimal()]
    return [step for step in folders if step < committed[-1] and step not in committed]


def _read(objects: Objects, run: str, step: int) -> Manifest | None:
    key = paths.manifest(run, step)
    try:
        manifest = records.load(objects, key, Manifest)
    except ObjectMissing:
        return None
    except Damaged as error:
        _refuse_newer(objects, key)
        logger.warning("a checkpoint is passed over: %s", error)
        return None
    if manifest.step != step:
        logger.warning("a checkpoint is passed over: %s: %s is of step %d", objects.uri, key, manifest.step)
        return None
    return manifest


def _refuse_newer(objects: Objects, key: str) -> None:
    # Passing over a checkpoint that a newer eagleray wrote would repeat its steps, and then delete it as a leftover.
    try:
        written = json.loads(objects.read(key))["format"]
    except (ValueError, LookupError, TypeError):
        return
    if isinstance(written, int) and written > FORMAT:
        raise StorageError(
            f"{objects.uri}: {key} has format {written}, this eagleray knows formats up to {FORMAT}: upgrade eagleray"
        )


def _describe_file(path: Path, name: str) -> FileEntry:
    with path.open("rb") as file:
        sha256 = _hash(iter(lambda: file.read(CHUNK_BYTES), b""))
    return FileEntry(path=name, size_bytes=path.stat().st_size, sha256=sha256)


def _verify_file(objects: Objects, key: str, entry: FileEntry, sizes: Mapping[str, int]) -> str:
    if key not in sizes:
        return f"{key} is missing"
    if sizes[key] != entry.size_bytes:
        return f"{key} has {sizes[key]} bytes, the manifest says {entry.size_bytes}"
    if _hash(objects.chunks(key)) != entry.sha256:
        return f"{key} has another content than the manifest says (sha256)"
    return ""


def _hash(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
