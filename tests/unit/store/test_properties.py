"""What holds for any damage and any order of writers: nothing is lost, nothing strange is taken for whole."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from eagleray.errors import EaglerayError, StorageError, UserError
from eagleray.store import checkpoints, events, keys, paths, registry, safe_keys
from eagleray.store.checkpoints import CheckpointDamaged, CheckpointId
from eagleray.store.key_homes import FileKeys, StoredKeys
from eagleray.store.lineage import VersionFile
from eagleray.store.manifests import FileEntry
from eagleray.store.objects import Objects, open_storage
from eagleray.store.registry import AliasMoved
from tests.support.records import NOW, new_checkpoint
from tests.support.versions import new_version

RUN = "a-0001"
FEW = settings(max_examples=60, deadline=None)
PASSWORDS = st.text(max_size=20)

# Paths


@given(st.text(alphabet=st.sampled_from("./\\~%#\x00\n\x1b ab0é"), max_size=12))
@FEW
def test_no_name_points_out_of_its_folder(name: str) -> None:
    """Names of runs, models and aliases, and of the files of a checkpoint or version that come from a manifest."""
    for key in (paths.run, paths.registered, partial(paths.alias, "demo"), partial(paths.rollout, "demo")):
        try:
            made = key(name)
        except UserError:
            continue
        assert made.endswith(f"/{name}")
        assert "/" not in name
        assert safe_keys.check(made) == made
    for kind in (FileEntry, VersionFile):
        try:
            entry = kind(path=name, size_bytes=0, sha256="")
        except ValidationError:
            continue
        assert (Path("/to") / entry.path).resolve() == Path("/to") / entry.path


# Checkpoints


@cache
def _written() -> tuple[bytes, bytes]:
    """A manifest, and the one file it names."""
    with TemporaryDirectory() as scratch:
        objects = open_storage("memory://")
        new_checkpoint(objects, RUN, step=7, scratch=Path(scratch), files={"model.bin": b"weights"}, loss=0.25)
        return objects.read(paths.manifest(RUN, 7, 1)), b"weights"


@given(st.data())
@FEW
def test_a_damaged_manifest_is_refused_or_of_the_same_checkpoint(data: st.DataObject) -> None:
    """And where it names other files than there are, fetching them says so."""
    text, weights = _written()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    damaged = text[:start] + data.draw(st.binary(max_size=4)) + text[end:]
    objects, checkpoint = open_storage("memory://"), CheckpointId(step=7, lease=1)
    objects.put(f"{paths.checkpoint(RUN, 7, 1)}/model.bin", weights)
    objects.put(paths.manifest(RUN, 7, 1), damaged)
    try:
        manifest = checkpoints.read(objects, RUN, checkpoint)
    except StorageError:
        return
    assert (manifest.run, manifest.id) == (RUN, checkpoint)
    is_as_written = manifest.files == checkpoints.Manifest.model_validate_json(text).files
    with TemporaryDirectory() as folder:
        try:
            checkpoints.fetch(objects, manifest, ["model.bin"], Path(folder))
        except CheckpointDamaged:
            assert not is_as_written
            return
        assert (Path(folder) / "model.bin").read_bytes() == weights


# Events


@given(st.integers(1, 4), st.data())
@FEW
def test_an_event_log_torn_at_any_byte(num_events: int, data: st.DataObject) -> None:
    objects = open_storage("memory://")
    for number in range(num_events):
        events.append(objects, RUN, kind="evaluated", now=NOW + timedelta(seconds=number), step=number)
    last = paths.event(RUN, num_events)
    whole = objects.read(last)
    size = data.draw(st.integers(0, len(whole)))
    objects.put(last, whole[:size])

    told = events.drop_torn_end(objects, RUN)

    is_whole = whole[:size].rstrip() == whole.rstrip()
    assert bool(told) is not is_whole
    assert [event.fields["step"] for event in events.read_events(objects, RUN)] == list(
        range(num_events - (not is_whole))
    )
    events.Writer(objects, RUN).append(events.Event(kind="goes on", at=NOW))
    assert events.read_events(objects, RUN)[-1].kind == "goes on"


# Keys


@given(st.binary(max_size=60), st.integers(0, 400))
@FEW
def test_a_damaged_keys_file_lets_nobody_in(junk: bytes, place: int) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        made = keys.create(FileKeys(file), "laptop", now=NOW)
        text = file.read_bytes()
        file.write_bytes(text[:place] + junk + text[place + len(junk) :])
        try:
            ring = keys.load(FileKeys(file))
        except EaglerayError as refused:
            assert made.record.sha256 not in str(refused)
            return
        found = ring.find(made.text)
        assert found is None or found.sha256 == made.record.sha256


@given(PASSWORDS)
@FEW
def test_what_is_not_a_key_lets_nobody_in(presented: str) -> None:
    made = keys.create(StoredKeys(open_storage("memory://")), "laptop", now=NOW)

    assert keys.KeyRing((made.record,)).find(presented) is None
    assert keys.KeyRing((made.record,)).find(made.text) == made.record


# The registry


@given(st.integers(2, 6))
@settings(max_examples=8, deadline=None)
def test_racing_threads_lose_no_version_and_no_change_of_an_alias(num_threads: int) -> None:
    objects = open_storage("memory://")

    def register(number: int) -> tuple[int, bool]:
        version = new_version(objects, files={"a": b"%d" % number}).version
        return version, _promote(objects, version)

    with ThreadPoolExecutor(num_threads) as threads:
        made = dict(threads.map(register, range(num_threads)))

    _assert_nothing_lost(objects, made)


def test_racing_processes_lose_no_version_and_no_change_of_an_alias(tmp_path: Path) -> None:
    """Each moves the alias on what it saw last: who is late decides again."""
    storage = str(tmp_path / "storage")
    command = [sys.executable, "-c", REGISTERING, storage]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = " ".join(process.communicate(timeout=120)[0] for process in processes).split()

    _assert_nothing_lost(open_storage(storage), {int(version): True for version in printed})


REGISTERING = """
import sys
from eagleray.store import registry
from eagleray.store.objects import open_storage
from tests.support.records import NOW
from tests.support.versions import new_version
objects = open_storage(sys.argv[1])
for _ in range(2):
    version = new_version(objects, files={"a": b"a"}).version
    while True:
        last = registry.last_change(objects, "demo", "champion")
        seen = last.number if last is not None else 0
        how = {"action": "promote", "by": "test", "reason": "", "seen": seen, "now": NOW}
        try:
            registry.point(objects, "demo", "champion", version, **how)
        except registry.AliasMoved:
            continue
        break
    print(version)
"""


def _promote(objects: Objects, version: int) -> bool:
    """Whether this one moved the alias: it may have decided on what was no longer so."""
    last = registry.last_change(objects, "demo", "champion")
    seen = last.number if last is not None else 0
    try:
        registry.point(objects, "demo", "champion", version, action="promote", by="test", reason="", seen=seen, now=NOW)
    except AliasMoved:
        return False
    return True


def _assert_nothing_lost(objects: Objects, made: dict[int, bool]) -> None:
    assert sorted(made) == list(range(1, len(made) + 1))
    assert [record.version for record in registry.versions(objects, "demo")] == sorted(made)
    changes = registry.history(objects, "demo", "champion")
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    assert sorted(change.version for change in changes) == sorted(version for version, moved in made.items() if moved)
    assert [change.previous for change in changes[1:]] == [change.version for change in changes[:-1]]


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"keys": 1}', json.dumps({"keys": [{}]})])
def test_a_keys_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text, encoding="utf-8")

    with pytest.raises(StorageError, match="this is no keys file"):
        keys.load(FileKeys(tmp_path / "keys.json"))
