"""Which versions of a registered model exist, and are their files whole?

A version is immutable: a number that was claimed, files, golden rows, and a record that is written last.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from eagleray.errors import StorageError, UserError
from eagleray.store import chains, checkpoints, paths, records, references
from eagleray.store.lineage import GoldenRow, VersionFile, VersionRecord
from eagleray.store.objects import ObjectInfo, ObjectMissing, Objects
from eagleray.store.records import Damaged

logger = logging.getLogger(__name__)

CARD = "README.md"
"""The file of a version that tells people about it."""
_CONCURRENT_READS = 8


def claim(objects: Objects, name: str) -> int:
    """Take the next number; concurrent claims get different ones.

    There is no version of it until `commit`. A number is never given again, not even that of a deleted version or of a
    registration that was killed.
    """
    data = json.dumps({"token": uuid.uuid4().hex}).encode()
    number = max(_numbers(objects, name), default=0) + 1
    while not chains.create(objects, paths.claim(name, number), data):
        number += 1
    return number


def put_file(objects: Objects, name: str, version: int, path: str, source: Path) -> VersionFile:
    """Store one file of a claimed version, as `path` below its files; returns what its record must say of it."""
    entry = VersionFile(**checkpoints.describe_file(source, path).model_dump())
    objects.upload(_file_key(name, version, path), source)
    return entry


def put_golden(objects: Objects, name: str, version: int, rows: Iterable[GoldenRow]) -> None:
    """Store the golden rows of a claimed version."""
    objects.put(paths.golden(name, version), "".join(f"{row.model_dump_json()}\n" for row in rows).encode())


def commit(objects: Objects, record: VersionRecord) -> None:
    """Make a version exist, all files of which are stored. May be tried again after a StorageError."""
    _check_stored(objects, record)
    # Last: killed anywhere before this line, there is no such version, and what was stored is a leftover.
    if not chains.create(objects, paths.version_record(record.name, record.version), records.dump(record)):
        raise StorageError(
            f"{objects.uri}: {record.name}@{record.version} exists with another content: a version never changes"
        )


def read(objects: Objects, name: str, version: int) -> VersionRecord:
    """The record of one version. Raises UserError with those that there are, Damaged for one that is unreadable."""
    try:
        return records.load(objects, paths.version_record(name, version), VersionRecord)
    except ObjectMissing as error:
        raise _no_version(objects, name, f"no version {version}") from error


def newest(objects: Objects, name: str) -> VersionRecord:
    """The newest version that can be read. Raises UserError where there is none."""
    for number in reversed(_numbers(objects, name)):
        record = _read_if_whole(objects, name, number)
        if record is not None:
            return record
    raise _no_version(objects, name, "no version")


def versions(objects: Objects, name: str) -> list[VersionRecord]:
    """All versions by number. One that cannot be read is passed over with a warning."""
    with ThreadPoolExecutor(_CONCURRENT_READS) as threads:
        found = threads.map(lambda number: _read_if_whole(objects, name, number), _numbers(objects, name))
    return [record for record in found if record is not None]


def names(objects: Objects) -> list[str]:
    """The registered models, also those of which no version was finished."""
    return [name for name in objects.folders(paths.MODELS) if paths.is_name(name)]


def fetch(
    objects: Objects, record: VersionRecord, directory: Path, *, only: str | tuple[str, ...] | None = None
) -> None:
    """Copy the files of a version into a directory; `only` those whose path begins so.

    Raises:
        Damaged: one is missing, or its size or hash is not as the record says.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for file in record.files:
        if file.path.startswith(only or ""):
            _fetch_file(objects, _file_key(record.name, record.version, file.path), file, directory / file.path)


def card(objects: Objects, record: VersionRecord) -> str:
    """What the version tells people about itself, as Markdown; empty where it has no card."""
    if all(file.path != CARD for file in record.files):
        return ""
    return objects.read(_file_key(record.name, record.version, CARD)).decode(errors="replace")


def golden(objects: Objects, record: VersionRecord) -> list[GoldenRow]:
    """The golden rows of a version. Raises Damaged where they are not those that the record counts."""
    if not record.num_golden:
        return []
    key = paths.golden(record.name, record.version)
    try:
        rows = [GoldenRow.model_validate_json(line) for line in objects.read(key).splitlines()]
    except (ObjectMissing, ValidationError) as error:
        raise Damaged(f"{objects.uri}: {key} is missing or damaged: restore it, or register the model anew") from error
    if len(rows) != record.num_golden:
        raise Damaged(f"{objects.uri}: {key} is damaged: it has {len(rows)} rows, {record.num_golden} were written")
    return rows


def stored(objects: Objects, name: str, version: int) -> list[ObjectInfo]:
    """What there is of a version, finished or not, but its claim."""
    return [info for info in objects.list(paths.version(name, version)) if info.key != paths.claim(name, version)]


def remove(objects: Objects, name: str, version: int) -> None:
    """Delete a version, or what a killed registration left of one."""
    # First: killed after this line there is no such version, and deleting it again finishes.
    objects.delete([paths.version_record(name, version)])
    objects.delete_folder(paths.version_files(name, version))
    # The claim stays: no other version may ever get the number that histories and logs name.
    objects.delete([paths.golden(name, version)])


def _check_stored(objects: Objects, record: VersionRecord) -> None:
    sizes = {info.key: info.size_bytes for info in objects.list(paths.version(record.name, record.version))}
    for file in record.files:
        key = _file_key(record.name, record.version, file.path)
        if sizes.get(key) != file.size_bytes:
            there = f"has {sizes[key]} bytes instead of {file.size_bytes}" if key in sizes else "is missing"
            raise StorageError(f"{objects.uri}: {key} {there}: register the model anew")


def _read_if_whole(objects: Objects, name: str, number: int) -> VersionRecord | None:
    try:
        return records.load(objects, paths.version_record(name, number), VersionRecord)
    except ObjectMissing:  # deleted, or its registration was killed or is going on
        return None
    except Damaged as error:
        logger.warning("a version is passed over: %s", error)
        return None


def _numbers(objects: Objects, name: str) -> list[int]:
    """All numbers that were claimed, in their order."""
    return sorted(int(folder) for folder in objects.folders(paths.versions(name)) if folder.isdecimal())


def _fetch_file(objects: Objects, key: str, file: VersionFile, path: Path) -> None:
    try:
        objects.download(key, path)
    except ObjectMissing as error:
        raise Damaged(f"{error}, which belongs to a registered version: restore it, or take another version") from error
    found = checkpoints.describe_file(path, file.path)
    if (found.size_bytes, found.sha256) != (file.size_bytes, file.sha256):
        path.unlink()
        raise Damaged(
            f"{objects.uri}: {key} is damaged: size or hash differ from those that were registered. Restore it, or "
            "take another version"
        )


def _file_key(name: str, version: int, path: str) -> str:
    return f"{paths.version_files(name, version)}/{path}"


def _no_version(objects: Objects, name: str, what: str) -> UserError:
    there = [str(record.version) for record in versions(objects, name)]
    if there:
        return UserError(f"model {name} has {what}: there is {', '.join(there)}")
    known = names(objects)
    if name in known:
        return UserError(f"model {name} has {what}: none was registered to the end, or all were deleted")
    where, or_else = f"on {objects.uri}", "`eagleray register RUN` makes one; or give the right --storage"
    return references.unknown("model", name, known=known, where=where, or_else=or_else)
