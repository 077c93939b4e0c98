"""Which checkpoints of a run exist, are whole, and stay.

A checkpoint is a folder of files and a manifest with their sizes and hashes. The manifest is written last and deleted
first: a checkpoint without one does not exist. Each attempt writes into folders of its own, and only the one that holds
the run's lease can commit: what a driver that was only asleep still writes is no checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from eagleray.errors import StorageError, UserError
from eagleray.store import paths, records, refusals
from eagleray.store.lease import LeaseLost
from eagleray.store.manifests import FORMAT, SET_ASIDE, CheckpointId, FileEntry, Manifest, Position, SetAsideRecord
from eagleray.store.objects import CHUNK_BYTES, ObjectMissing, Objects
from eagleray.store.records import Damaged, Newer

logger = logging.getLogger(__name__)

__all__ = [
    "CheckpointDamaged",
    "CheckpointId",
    "FileEntry",
    "Manifest",
    "Position",
    "commit",
    "delete_all_but",
    "describe_file",
    "fetch",
    "find",
    "list_committed",
    "list_manifests",
    "newest",
    "pin",
    "prune",
    "put_file",
    "read",
    "set_aside",
    "unpin",
    "verify",
]

_FOLDER = re.compile(r"(\d{9,})-(\d{4,})")
_PIN = "pinned-by-"


class CheckpointDamaged(Damaged):
    """A file of a checkpoint is missing or is not as the manifest says."""


def describe_file(path: Path, name: str) -> FileEntry:
    """Size and hash of a file that is to be `name` in a checkpoint. Raises StorageError where it cannot be read."""
    try:
        with path.open("rb") as file:
            sha256 = _hash(iter(lambda: file.read(CHUNK_BYTES), b""))
        return FileEntry(path=name, size_bytes=path.stat().st_size, sha256=sha256)
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {refusals.explain(error)}") from error


def put_file(objects: Objects, run: str, checkpoint: CheckpointId, entry: FileEntry, path: Path) -> None:
    """Store one file of a checkpoint that is yet to be committed."""
    objects.upload(_key(run, checkpoint, entry.path), path)


def commit(objects: Objects, manifest: Manifest, *, check: Callable[[], None]) -> None:
    """Make a checkpoint exist, all files of which are stored. May be tried again after a StorageError.

    Raises:
        LeaseLost: `check` says so; then the checkpoint does not exist.
    """
    key = paths.manifest(manifest.run, manifest.step, manifest.lease)
    try:
        check()
        # Last: killed anywhere before this line, the checkpoint does not exist and the one before is the newest.
        objects.put(key, records.dump(manifest))
        # This process may have slept in the line before, while another took the run over.
        check()
    except LeaseLost:
        # Also where the first check says so: an earlier try may have put it.
        objects.delete([key])
        raise


def read(objects: Objects, run: str, checkpoint: CheckpointId) -> Manifest:
    """The manifest of one checkpoint.

    Raises:
        ObjectMissing: there is no such checkpoint.
        Damaged: the manifest is of no use.
        StorageError: a newer eagleray wrote it.
    """
    key = paths.manifest(run, checkpoint.step, checkpoint.lease)
    try:
        manifest = records.load(objects, key, Manifest)
    except Damaged:
        _refuse_newer(objects, key)
        raise
    if (manifest.run, manifest.id) != (run, checkpoint):
        named = f"{manifest.id} of run {manifest.run!r}"
        raise Damaged(f"{objects.uri}: {key} is damaged: it is the manifest of {named}. Restore the file")
    return manifest


def list_manifests(objects: Objects, run: str) -> list[Manifest]:
    """The checkpoints that exist, by step; of one step that of the latest attempt.

    Raises StorageError where one was written by a newer eagleray.
    """
    found = (_read_if_whole(objects, run, checkpoint) for checkpoint in _folders(objects, run))
    by_step = {manifest.step: manifest for manifest in found if manifest is not None}
    return list(by_step.values())


def newest(objects: Objects, run: str) -> Manifest | None:
    """The checkpoint of the last step; None where there is no checkpoint."""
    manifests = list_manifests(objects, run)
    return manifests[-1] if manifests else None


def find(objects: Objects, run: str, step: int) -> Manifest:
    """The checkpoint of a step. Raises UserError with the steps that have one."""
    manifests = list_manifests(objects, run)
    for manifest in manifests:
        if manifest.step == step:
            return manifest
    there = f"there are steps {', '.join(str(each.step) for each in manifests)}" if manifests else "it has none at all"
    raise UserError(f"run {run} has no checkpoint of step {step}: {there}")


def list_committed(objects: Objects, run: str) -> list[CheckpointId]:
    """Every folder with a manifest, readable or not, by step and attempt: what `verify` can say something about."""
    keys = {info.key for info in objects.list(paths.checkpoints(run))}
    return [each for each in _folders(objects, run) if paths.manifest(run, each.step, each.lease) in keys]


def verify(objects: Objects, run: str, checkpoint: CheckpointId) -> list[str]:
    """What is wrong with a checkpoint, a line a file; empty where every size and hash is as the manifest says."""
    manifest = _read_if_whole(objects, run, checkpoint)
    if manifest is None:
        return [f"{paths.manifest(run, checkpoint.step, checkpoint.lease)} is missing or damaged"]
    folder = paths.checkpoint(run, checkpoint.step, checkpoint.lease)
    sizes = {info.key: info.size_bytes for info in objects.list(folder)}
    problems = (_verify_file(objects, f"{folder}/{entry.path}", entry, sizes) for entry in manifest.files)
    return [problem for problem in problems if problem]


def fetch(objects: Objects, manifest: Manifest, names: Iterable[str], to: Path) -> None:
    """Copy files of a checkpoint into a directory, below it under their names in the checkpoint.

    Raises:
        CheckpointDamaged: one is missing, or not as the manifest says.
    """
    entries = {entry.path: entry for entry in manifest.files}
    for name in names:
        key = _key(manifest.run, manifest.id, name)
        if name not in entries:
            raise CheckpointDamaged(f"{objects.uri}: the manifest of the checkpoint names no {key}")
        _fetch_file(objects, key, entries[name], to / name)


def set_aside(objects: Objects, manifest: Manifest, *, reason: str) -> None:
    """Let a damaged checkpoint exist no more, but stay to be looked at until `prune` removes it."""
    record = SetAsideRecord(reason=reason, manifest=manifest)
    objects.put(_key(manifest.run, manifest.id, SET_ASIDE), records.dump(record))
    objects.delete([paths.manifest(manifest.run, manifest.step, manifest.lease)])


def pin(objects: Objects, run: str, step: int, *, by: str) -> bool:
    """Keep the checkpoint of a step, which another run is to begin with, until `unpin`; returns whether it is there."""
    for manifest in list_manifests(objects, run):
        if manifest.step == step:
            objects.put(_key(run, manifest.id, f"{_PIN}{by}"), b"")
            if _read_if_whole(objects, run, manifest.id) is not None:
                return True
            unpin(objects, run, step, by=by)  # it was pruned at this moment
    return False


def unpin(objects: Objects, run: str, step: int, *, by: str) -> None:
    """Let the checkpoint of a step go as any other."""
    objects.delete([_key(run, each, f"{_PIN}{by}") for each in _folders(objects, run) if each.step == step])


def prune(objects: Objects, run: str, *, keep: int, best: CheckpointId | None) -> list[CheckpointId]:
    """Delete all checkpoints but those of the newest `keep` steps, the best one and pinned ones; those deleted.

    What never came to its manifest, or lost it, goes too if it is older than the newest checkpoint.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, not {keep}: the newest checkpoint is what a run goes on from")
    existing = [manifest.id for manifest in list_manifests(objects, run)]
    if not existing:
        return []
    kept = [*existing[-keep:], best]
    # A folder newer than the newest checkpoint may be an upload that is still going on.
    older = [each for each in _folders(objects, run) if _order(each) < _order(existing[-1])]
    gone = [each for each in older if each not in kept and not _is_pinned(objects, run, each)]
    for each in gone:
        _delete(objects, run, each)
    return [each for each in existing if each in gone]


def delete_all_but(objects: Objects, run: str, kept: CheckpointId | None) -> None:
    """Delete the checkpoints of a run that nobody goes on with, and what never became one."""
    for each in _folders(objects, run):
        if each != kept:
            _delete(objects, run, each)


def _delete(objects: Objects, run: str, checkpoint: CheckpointId) -> None:
    # First: killed after this line, the rest is a leftover that the next prune finds, never a damaged checkpoint.
    objects.delete([paths.manifest(run, checkpoint.step, checkpoint.lease)])
    objects.delete_folder(paths.checkpoint(run, checkpoint.step, checkpoint.lease))


def _is_pinned(objects: Objects, run: str, checkpoint: CheckpointId) -> bool:
    folder = paths.checkpoint(run, checkpoint.step, checkpoint.lease)
    return any(info.key.startswith(f"{folder}/{_PIN}") for info in objects.list(folder))


def _folders(objects: Objects, run: str) -> list[CheckpointId]:
    """All folders of checkpoints, whole or not, by step and attempt."""
    matches = map(_FOLDER.fullmatch, objects.folders(paths.checkpoints(run)))
    return sorted((CheckpointId(step=int(match[1]), lease=int(match[2])) for match in matches if match), key=_order)


def _order(checkpoint: CheckpointId) -> tuple[int, int]:
    return checkpoint.step, checkpoint.lease


def _key(run: str, checkpoint: CheckpointId, name: str) -> str:
    return f"{paths.checkpoint(run, checkpoint.step, checkpoint.lease)}/{name}"


def _read_if_whole(objects: Objects, run: str, checkpoint: CheckpointId) -> Manifest | None:
    try:
        return read(objects, run, checkpoint)
    except ObjectMissing:
        return None
    except Damaged as error:
        logger.warning("a checkpoint is passed over: %s", error)
        return None


def _refuse_newer(objects: Objects, key: str) -> None:
    # Passing over a checkpoint that a newer eagleray wrote would repeat its steps, and then delete it as a leftover.
    try:
        written = json.loads(objects.read(key))["format"]
    except (ValueError, LookupError, TypeError):
        return
    if isinstance(written, int) and written > FORMAT:
        raise Newer(
            f"{objects.uri}: {key} has format {written}, this eagleray knows formats up to {FORMAT}: upgrade eagleray"
        )


def _fetch_file(objects: Objects, key: str, entry: FileEntry, path: Path) -> None:
    try:
        objects.download(key, path)
    except ObjectMissing as error:
        raise CheckpointDamaged(f"{error}, which belongs to a checkpoint") from error
    if describe_file(path, entry.path) != entry:
        path.unlink()
        raise CheckpointDamaged(f"{objects.uri}: {key} is damaged: size or hash differ from the manifest")


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
