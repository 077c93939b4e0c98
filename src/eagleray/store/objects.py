"""The one door to storage: whole objects under keys, alike on a local disk, S3, Google Cloud Storage and Azure.

There is no rename and no append, because object storage has none. A returned `put`, `create` or `upload` is durable.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore

from eagleray.errors import StorageError, UserError
from eagleray.spec.locations import check_holds_no_keys
from eagleray.store import durable, refusals, remote, safe_keys

CHUNK_BYTES = 8 * 2**20
_MAX_CHUNKS = 9000  # S3 takes 10,000 parts an object
_MAX_CONCURRENT_CHUNKS = 4  # the memory of an upload is so many chunks

_FORMS = (
    "a directory (./runs, /shared/runs, file:///shared/runs), s3://bucket/prefix, gs://bucket/prefix or az://container"
)


class ObjectMissing(StorageError):
    """There is no object under the key."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object in a listing."""

    key: str
    size_bytes: int
    modified_at: datetime


Listing = list[ObjectInfo]  # named here, because inside the class `list` is the method
Names = list[str]


def open_storage(uri: str, *, must_exist: bool = False) -> Objects:
    """Open a storage; a local directory that is not there is created, or refused where it `must_exist`.

    Raises UserError for a URI of another form, StorageError else.
    """
    scheme, separator, rest = uri.partition("://")
    check_holds_no_keys(uri)
    if not uri.strip() or (separator and not rest and scheme != "memory"):
        raise UserError(f"{uri!r} is no storage: give {_FORMS}")
    if not separator:
        return LocalObjects(Path(uri), must_exist=must_exist)
    if scheme == "file":
        return LocalObjects(Path(unquote(rest)), must_exist=must_exist)
    if scheme == "memory":
        return Objects(uri, MemoryStore())
    if scheme in remote.ENVIRONMENT:
        return Objects(uri, remote.open_store(uri, scheme))
    raise UserError(f"{uri}: {scheme}:// is no storage eagleray knows: give {_FORMS}")


def local_directory(uri: str) -> Path | None:
    """The directory that `open_storage(uri)` would use; None for a remote storage. Touches nothing."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri).expanduser().resolve()
    return Path(unquote(rest)).resolve() if scheme == "file" else None


class Objects:
    """Objects of one storage. Every method raises StorageError, which names the storage, the operation and a remedy."""

    def __init__(self, uri: str, store: Any) -> None:
        self.uri = uri
        self._store = store

    @property
    def local_path(self) -> Path | None:
        """Root of the storage as a directory of this machine; None for a remote storage."""
        return None

    def read(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""
        with self._named("read", key):
            return bytes(obstore.get(self._store, safe_keys.check(key)).bytes())

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object in pieces of at most CHUNK_BYTES, each a request of its own that is retried alone."""
        with self._named("read", key):
            size_bytes = obstore.head(self._store, safe_keys.check(key))["size"]
        for start in range(0, size_bytes, CHUNK_BYTES):
            length = min(CHUNK_BYTES, size_bytes - start)
            with self._named("read", key):
                chunk = bytes(obstore.get_range(self._store, key, start=start, length=length))
            yield chunk

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole or not at all, replacing what was there."""
        with self._named("write", key):
            obstore.put(self._store, safe_keys.check(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist; False where it does. Of many at once at most one gets True.

        A remote server's answer can be lost and the request be sent again: then the creator itself gets False.
        """
        try:
            with self._named("create", key):
                obstore.put(self._store, safe_keys.check(key), data, mode="create")
        except _Exists:
            return False
        return True

    def list(self, prefix: str = "") -> Listing:
        """Everything below the folder `prefix`, sorted by key."""
        with self._named("list", prefix):
            batches = obstore.list(self._store, safe_keys.check(prefix) if prefix else None)
            found = [
                ObjectInfo(meta["path"], meta["size"], meta["last_modified"]) for batch in batches for meta in batch
            ]
        return sorted(found, key=lambda info: info.key)

    def folders(self, prefix: str) -> Names:
        """Names of the folders directly below the folder `prefix`, sorted. Much cheaper than `list` on S3."""
        with self._named("list", prefix):
            found = obstore.list_with_delimiter(self._store, safe_keys.check(prefix))["common_prefixes"]
        return sorted(folder.rstrip("/").rpartition("/")[2] for folder in found)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is missing is fine."""
        wanted = [safe_keys.check(key) for key in keys]
        try:
            self._delete(wanted)
        except ObjectMissing:  # some storages stop at the first missing one
            for key in wanted:
                self._delete_one(key)

    def delete_folder(self, prefix: str, *, last: str = "") -> None:
        """Delete everything below `prefix`, the key `last` after all others."""
        keys = [info.key for info in self.list(prefix)]
        self.delete(key for key in keys if key != last)
        if last:
            self.delete([last])

    def upload(self, key: str, path: Path) -> None:
        """Write a file as an object, whole or not at all. Memory does not grow with the file."""
        with _local(path, "read"):
            size_bytes = path.stat().st_size
        with self._named("write", key):
            obstore.put(
                self._store,
                safe_keys.check(key),
                path,
                chunk_size=max(CHUNK_BYTES, size_bytes // _MAX_CHUNKS),
                max_concurrency=_MAX_CONCURRENT_CHUNKS,
            )

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file, whole or not at all. Memory does not grow with the object."""
        chunks = self.chunks(key)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with _local(path, "write"):
                path.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("xb") as file:
                    file.writelines(chunks)
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def check_writable(self) -> None:
        """Write, read and delete a small object."""
        key = f".eagleray-probe-{uuid.uuid4().hex}"
        self.put(key, b"probe")
        try:
            self.read(key)
        finally:
            self.delete([key])

    def _delete(self, keys: Names) -> None:
        if keys:
            with self._named("delete", keys[0]):
                obstore.delete(self._store, keys)

    def _delete_one(self, key: str) -> None:
        try:
            self._delete([key])
        except ObjectMissing:
            return

    @contextmanager
    def _named(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except AlreadyExistsError as error:
            raise _Exists(f"{self.uri}: {key} exists") from error
        except FileNotFoundError as error:
            raise self._not_found(operation, key, error) from error
        except (BaseError, OSError) as error:
            raise self._refused(operation, key, refusals.explain(error)) from error

    def _not_found(self, operation: str, key: str, error: FileNotFoundError) -> StorageError:
        if refusals.explain(error) is refusals.NO_BUCKET or operation in ("write", "create"):
            return self._refused(operation, key, refusals.NO_BUCKET)
        return ObjectMissing(f"{self.uri}: there is no {key}")

    def _refused(self, operation: str, key: str, reason: refusals.Reason) -> StorageError:
        return StorageError(f"{self.uri}: cannot {operation} {key or 'the objects'}: {reason}")


class LocalObjects(Objects):
    """Objects as files below a directory. Writes are ours and not obstore's, which does not flush them to the disk.

    A directory that is gone, as that of a disk no longer mounted, is an error: it is neither empty nor made again.
    """

    def __init__(self, directory: Path, *, must_exist: bool) -> None:
        with _local(directory, "open" if must_exist else "create the directory"):
            self._root = directory.expanduser().resolve(strict=must_exist)
            self._root.mkdir(parents=True, exist_ok=True)
            self._is_mount = self._root.is_mount()
        super().__init__(str(self._root), LocalStore(prefix=self._root))

    @property
    def local_path(self) -> Path:
        """Root of the storage."""
        return self._root

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole or not at all, replacing what was there."""
        with self._named("write", key):
            durable.write(self._file(key), (data,), root=self._root)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist; False where it does."""
        with self._named("create", key):
            return durable.create(self._file(key), data, root=self._root)

    def upload(self, key: str, path: Path) -> None:
        """Write a file as an object, whole or not at all."""
        with _local(path, "read"):
            source = path.open("rb")
        with source, self._named("write", key):
            durable.write(self._file(key), iter(lambda: source.read(CHUNK_BYTES), b""), root=self._root)

    def delete_folder(self, prefix: str, *, last: str = "") -> None:
        """Delete a folder with all that a listing does not show: files half written when a process was killed.

        Symbolic links are deleted, what they point to is not (a listing follows them).
        """
        with self._named("delete", prefix):
            durable.remove_folder(self._file(prefix), last=self._file(last) if last else None)

    def _file(self, key: str) -> Path:
        return self._root / safe_keys.check(key)

    @contextmanager
    def _named(self, operation: str, key: str) -> Iterator[None]:
        with super()._named(operation, key):
            self._check_there(operation, key)
            try:
                yield
            finally:  # what went away meanwhile looks as if it were empty
                self._check_there(operation, key)

    def _not_found(self, operation: str, key: str, error: FileNotFoundError) -> StorageError:
        if operation in ("write", "create"):
            return self._refused(operation, key, refusals.explain(error))
        return ObjectMissing(f"{self.uri}: there is no {key}")

    def _check_there(self, operation: str, key: str) -> None:
        # The place where a disk was mounted stays when the disk goes.
        if not (self._root.is_mount() if self._is_mount else self._root.is_dir()):
            raise self._refused(operation, key, refusals.NOT_THERE)


class _Exists(StorageError):
    """Told to `create` alone."""


@contextmanager
def _local(path: Path, operation: str) -> Iterator[None]:
    """Name the file of this machine in errors about it."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot {operation}: {refusals.explain(error)}") from error
