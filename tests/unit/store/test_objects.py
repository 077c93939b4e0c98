"""The storage behaves alike everywhere, and says clearly what it refuses."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eagleray.errors import StorageError, UserError
from eagleray.store.objects import CHUNK_BYTES, ObjectMissing, Objects, local_directory, open_storage
from tests.support import s3

ODD_KEYS = ["a b", "a%2Fb", "a~b", "ü/日本", "a+b=c,d@e", "a#b", "[x](1)", "a..b", ".hidden", "x" * 200]
BAD_KEYS = [
    "",
    "/abs",
    "a/../b",
    "..",
    "./a",
    "a//b",
    "a/",
    "a\nb",
    "a\x00b",
    "a\\b",
    "a#12",
    "x" * 201,
    "y/" * 500 + "y",
]


# What every storage does


def test_what_is_put_is_read(objects: Objects) -> None:
    objects.put("a/b", b"one")
    objects.put("a/b", b"two")
    assert objects.read("a/b") == b"two"


def test_create_is_exclusive(objects: Objects) -> None:
    assert objects.create("a/b", b"one")
    assert not objects.create("a/b", b"two")
    assert objects.read("a/b") == b"one"


def test_one_of_many_creators_wins(objects: Objects) -> None:
    contents = [b"%d" % number for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        won = list(threads.map(lambda content: objects.create("key", content), contents))
    assert sum(won) == 1
    assert objects.read("key") == contents[won.index(True)]


@pytest.mark.parametrize("read", ["read", "chunks", "download"])
def test_what_is_missing_is_said(objects: Objects, tmp_path: Path, read: str) -> None:
    with pytest.raises(ObjectMissing, match=r"there is no a/b"):
        match read:
            case "read":
                objects.read("a/b")
            case "chunks":
                list(objects.chunks("a/b"))
            case _:
                objects.download("a/b", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_listing_is_recursive_sorted_and_below_the_folder(objects: Objects) -> None:
    for key in ("a/c/d", "a/b", "ab/x", "z"):
        objects.put(key, key.encode())
    assert [(info.key, info.size_bytes) for info in objects.list("a")] == [("a/b", 3), ("a/c/d", 5)]
    assert [info.key for info in objects.list()] == ["a/b", "a/c/d", "ab/x", "z"]
    assert objects.list("nothing") == []
    assert abs(objects.list("ab")[0].modified_at.timestamp() - time.time()) < 60


def test_folders_are_those_directly_below(objects: Objects) -> None:
    for key in ("runs/b/x", "runs/a/y/z", "runs/file", "other/c/x"):
        objects.put(key, b"")
    assert objects.folders("runs") == ["a", "b"]
    assert objects.folders("nothing") == []


def test_delete_takes_what_is_missing(objects: Objects) -> None:
    for key in ("a", "b", "c"):
        objects.put(key, b"")
    objects.delete(["missing/x", "a", "missing", "b"])
    objects.delete([])
    assert [info.key for info in objects.list()] == ["c"]


@pytest.mark.parametrize("last", ["", "a/b"], ids=["no-last", "last"])
def test_delete_folder(objects: Objects, last: str) -> None:
    for key in ("a/b", "a/c/d", "ab"):
        objects.put(key, b"")
    objects.delete_folder("a", last=last)
    objects.delete_folder("a", last=last)
    assert [info.key for info in objects.list()] == ["ab"]
    assert objects.folders("a") == []


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1], ids=["empty", "byte", "chunk", "three-chunks"]
)
def test_a_file_goes_up_and_comes_down(objects: Objects, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "up").write_bytes(content)
    objects.upload("a/b", tmp_path / "up")
    objects.download("a/b", tmp_path / "new" / "down")
    assert (tmp_path / "new" / "down").read_bytes() == content == objects.read("a/b") == b"".join(objects.chunks("a/b"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["down"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_kept(objects: Objects, key: str) -> None:
    objects.put(key, b"x")
    assert objects.read(key) == b"x"
    assert [info.key for info in objects.list()] == [key]
    objects.delete([key])
    assert objects.list() == []


@pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
@pytest.mark.parametrize("operation", ["put", "create", "read", "delete", "delete_folder", "chunks"])
def test_keys_that_could_lead_elsewhere_are_refused(local: Objects, operation: str, key: str) -> None:
    calls = {
        "put": lambda: local.put(key, b""),
        "create": lambda: local.create(key, b""),
        "read": lambda: local.read(key),
        "delete": lambda: local.delete([key]),
        "delete_folder": lambda: local.delete_folder(key),
        "chunks": lambda: list(local.chunks(key)),
    }
    with pytest.raises(StorageError, match="cannot be a key"):
        calls[operation]()


def test_the_probe_leaves_nothing(objects: Objects) -> None:
    objects.check_writable()
    assert objects.list() == []


def test_a_missing_file_cannot_be_uploaded(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone: cannot read: it is not there"):
        objects.upload("a", tmp_path / "gone")


# URIs


@pytest.mark.parametrize("uri", ["", " ", "s3://", "ftp://host/x", "http://host/x", "model://name", "file://"])
def test_a_uri_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match=r"give a directory \(./runs"):
        open_storage(uri)


def test_local_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cases = {
        "runs": "runs",
        "odd %20 #1 ?": "odd %20 #1 ?",
        "./a/../b": "b",
        "~/r": "home/r",
        f"file://{tmp_path}/c%20d": "c d",
        str(tmp_path / "e"): "e",
    }
    for uri, expected in cases.items():
        assert local_directory(uri) == tmp_path / expected
        assert not (tmp_path / expected).exists()
        assert open_storage(uri).local_path == tmp_path / expected
        open_storage(uri).check_writable()
        assert (tmp_path / expected).is_dir()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_directory_that_must_be_there_is_not_created(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(StorageError, match=r"runs: cannot open: it is not there\. Check the path, and that the disk"):
        open_storage(f"{scheme}{tmp_path / 'runs'}", must_exist=True)
    assert list(tmp_path.iterdir()) == []
    open_storage(str(tmp_path / "runs")).put("a", b"")
    assert open_storage(f"{scheme}{tmp_path / 'runs'}", must_exist=True).read("a") == b""


@pytest.mark.parametrize("uri", ["s3://bucket/x", "gs://bucket/x"])
def test_remote_storages_are_no_directory(uri: str, s3_uri: str) -> None:
    assert open_storage(uri).local_path is None
    assert local_directory(uri) is None


# What only a local disk does


def test_files_follow_the_umask(local: Objects) -> None:
    assert local.local_path is not None
    before = os.umask(0o027)
    try:
        local.put("a/b", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((local.local_path / "a/b").stat().st_mode) == 0o640


def test_what_a_killed_write_left_is_not_listed_and_goes_with_its_folder(local: Objects) -> None:
    script = (
        "import os, sys; from pathlib import Path; from eagleray.store import durable\n"
        "def blocks():\n yield b'half'\n os.kill(os.getpid(), 9)\n"
        "durable.write(Path(sys.argv[1]), blocks(), root=Path(sys.argv[1]).parent)"
    )
    assert local.local_path is not None
    local.put("a/b", b"old")
    killed = subprocess.run([sys.executable, "-c", script, str(local.local_path / "a/b")], check=False)
    assert killed.returncode == -9
    assert len(list((local.local_path / "a").iterdir())) == 2
    assert [info.key for info in local.list()] == ["a/b"]
    assert local.read("a/b") == b"old"
    local.delete_folder("a")
    assert not (local.local_path / "a").exists()


def test_a_folder_is_deleted_but_not_what_its_links_point_to(local: Objects, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("mine")
    local.put("a/b", b"")
    assert local.local_path is not None
    (local.local_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    local.delete_folder("a", last="a/b")
    assert (tmp_path / "elsewhere" / "file").exists()
    assert not (local.local_path / "a").exists()


@pytest.mark.parametrize("below", [".", "sub/dir"])
def test_a_file_in_place_of_the_directory(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match=r"file.*cannot create the directory: a (part of the path is a file|file has)"
    ):
        open_storage(str(tmp_path / "file" / below))


def test_a_part_of_the_key_is_a_file(local: Objects) -> None:
    local.put("a", b"")
    with pytest.raises(
        StorageError, match=r"storage: cannot write a/b: a (part of the path is a file|file has this name)"
    ):
        local.put("a/b", b"")


def test_a_write_that_fails_leaves_nothing_and_keeps_the_old(tmp_path: Path) -> None:
    """A limit on file sizes fails a write half-way, as a full disk does, without the right to mount one."""
    script = """
import resource, sys
from pathlib import Path
from eagleray.errors import StorageError
from eagleray.store.objects import open_storage
objects = open_storage(sys.argv[1])
objects.put("a/b", b"old")
Path(sys.argv[2]).write_bytes(bytes(3000))
objects.put("up", bytes(1000))
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
for write in (
    lambda: objects.put("a/b", bytes(2000)), lambda: objects.create("a/c", bytes(2000)),
    lambda: objects.upload("a/d", Path(sys.argv[2])),
):
    try:
        write()
    except StorageError as error:
        assert "larger than allowed" in str(error), error
    else:
        raise SystemExit("the write went through")
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "s"), str(tmp_path / "big")], check=True)
    files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path / "s").as_posix() for path in files) == ["a/b", "up"]
    assert (tmp_path / "s/a/b").read_bytes() == b"old"


CALLS: dict[str, Callable[[Objects, Path], object]] = {
    "put": lambda objects, file: objects.put("a/b", b"new"),
    "put-deeper": lambda objects, file: objects.put("c/d/e", b"new"),
    "create": lambda objects, file: objects.create("c", b"new"),
    "upload": lambda objects, file: objects.upload("a/b", file),
    "read": lambda objects, file: objects.read("a/b"),
    "chunks": lambda objects, file: list(objects.chunks("a/b")),
    "list": lambda objects, file: objects.list(),
    "folders": lambda objects, file: objects.folders("a"),
    "delete": lambda objects, file: objects.delete(["a/b"]),
    "delete-folder": lambda objects, file: objects.delete_folder("a"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_directory_that_is_gone_is_neither_made_again_nor_empty(
    local: Objects, tmp_path: Path, call: Callable[[Objects, Path], object]
) -> None:
    """As when its disk is no longer mounted: writing must not fill the place where it was."""
    assert local.local_path is not None
    local.put("a/b", b"old")
    (tmp_path / "file").write_bytes(b"new")
    local.local_path.rename(tmp_path / "away")
    with pytest.raises(StorageError, match=r"it is not there\. Check the path, and that the disk is mounted") as told:
        call(local, tmp_path / "file")
    assert not isinstance(told.value, ObjectMissing)
    assert not local.local_path.exists()
    (tmp_path / "away").rename(local.local_path)
    assert local.read("a/b") == b"old"
    call(local, tmp_path / "file")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    objects = open_storage(str(small_disk / "runs"))
    objects.put("old", b"old")
    (tmp_path / "big").write_bytes(bytes(2**20))
    with pytest.raises(StorageError, match=r"disk/runs: cannot write big: no space is left\. Free some"):
        objects.upload("big", tmp_path / "big")
    with pytest.raises(StorageError, match="no space is left"):
        objects.put("old", bytes(2**20))
    assert [path.name for path in (small_disk / "runs").iterdir()] == ["old"]
    objects.check_writable()
    open_storage(str(tmp_path / "roomy")).upload("big", tmp_path / "big")
    with pytest.raises(StorageError, match=r"disk/down: cannot write: no space is left"):
        open_storage(str(tmp_path / "roomy")).download("big", small_disk / "down")
    assert [path.name for path in small_disk.iterdir()] == ["runs"]


def test_a_disk_that_is_no_longer_mounted(small_disk: Path) -> None:
    objects = open_storage(str(small_disk))
    objects.put("a", b"")
    subprocess.run(["umount", small_disk], check=True)
    for call in (lambda: objects.put("b", b""), objects.list):
        with pytest.raises(StorageError, match="it is not there"):
            call()
    assert list(small_disk.iterdir()) == []
    subprocess.run(["mount", "-t", "tmpfs", "none", small_disk], check=True)
    objects.put("b", b"")


def test_a_read_only_disk(small_disk: Path) -> None:
    objects = open_storage(str(small_disk / "runs"))
    objects.put("a", b"")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StorageError, match=r"the file system is read-only\. Make it writable, or choose another"):
        objects.check_writable()
    with pytest.raises(StorageError, match="cannot delete a: the file system is read-only"):
        objects.delete(["a"])
    assert objects.read("a") == b""
    with pytest.raises(StorageError, match="cannot create the directory: the file system is read-only"):
        open_storage(str(small_disk / "other"))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can only be taken on by root")
def test_no_permission(tmp_path: Path) -> None:
    """In a process of another user, since root may write everywhere."""
    script = """
import os, sys
from eagleray.errors import StorageError
from eagleray.store.objects import open_storage
os.setgid(65534), os.setuid(65534)
try:
    open_storage(sys.argv[1]).check_writable()
except StorageError as error:
    print(error)
"""
    directory = tmp_path / "mine"
    directory.mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o555)
    told = subprocess.run([sys.executable, "-c", script, directory], capture_output=True, text=True, check=True).stdout
    assert "no permission. Give this user read and write access" in told


def test_the_memory_of_a_transfer_does_not_grow_with_the_file(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from eagleray.store.objects import open_storage
objects = open_storage(sys.argv[1])
def transfer(megabytes):
    with Path(sys.argv[2]).open("wb") as file:
        file.truncate(megabytes * 2**20)
    objects.upload("big", Path(sys.argv[2]))
    objects.download("big", Path(sys.argv[2] + ".down"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
small = transfer(16)
print(transfer(160) - small)
"""
    arguments = [sys.executable, "-c", script, str(tmp_path / "s"), str(tmp_path / "big")]
    grown_mib = float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)
    assert grown_mib < 40


# What only a remote storage does


def test_no_bucket(s3_uri: str, tmp_path: Path) -> None:
    objects = open_storage("s3://no-such-bucket/x")
    for operation in (
        objects.check_writable,
        lambda: objects.read("a"),
        objects.list,
        lambda: objects.create("a", b""),
    ):
        with pytest.raises(
            StorageError, match=r"s3://no-such-bucket/x: cannot \w+ .*there is no such bucket\. Create it"
        ) as told:
            operation()
        assert not isinstance(told.value, ObjectMissing)


def test_plain_http_needs_a_word(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(StorageError, match=r"plain http, which is not allowed\. Use https, or set AWS_ALLOW_HTTP=true"):
        open_storage(s3_uri).check_writable()


def test_an_endpoint_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        for name, value in s3.environment(f"http://127.0.0.1:{unused.getsockname()[1]}").items():
            monkeypatch.setenv(name, value)
        begun = time.monotonic()
        with pytest.raises(
            StorageError, match=r"s3://bucket/x: cannot write .*endpoint cannot be reached.*AWS_ENDPOINT_URL"
        ):
            open_storage("s3://bucket/x").check_writable()
        assert time.monotonic() - begun < 20


def test_the_client_follows_the_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that accepts and never answers is given up after the timeout that the environment sets."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = s3.environment(f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name, value in {**environment, "AWS_TIMEOUT": "200ms"}.items():
            monkeypatch.setenv(name, value)
        begun = time.monotonic()
        with pytest.raises(StorageError, match="does not answer"):
            open_storage("s3://bucket/x").read("a")
        assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    "uri",
    ["s3://AKIA:verysecret@bucket/runs", "gs://u:verysecret@b", "az://c/p?sp=r&sig=verysecret"],
    ids=["s3", "gs", "signature"],
)
def test_a_uri_with_keys_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UserError, match="must hold no keys") as raised:
        open_storage(uri)
    assert "verysecret" not in str(raised.value)
