"""A checkpoint exists as a whole or not at all, through every crash, and never by a driver that has lost the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from eagleray.errors import StorageError, UserError
from eagleray.store import checkpoints, lease, paths, records
from eagleray.store.checkpoints import CheckpointDamaged, CheckpointId
from eagleray.store.lease import LeaseLost
from eagleray.store.manifests import SetAsideRecord
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Damaged
from tests.support.records import NOW, new_checkpoint

RUN = "a-0001"


class Killed(BaseException):
    """The process is gone."""


class DyingObjects(Objects):
    """A storage on which the process is killed before its n-th change."""

    def __init__(self, objects: Objects, changes: int) -> None:
        super().__init__(objects.uri, objects._store)
        self._left = changes

    def _change(self) -> None:
        if not self._left:
            raise Killed
        self._left -= 1

    def put(self, key: str, data: bytes) -> None:
        self._change()
        super().put(key, data)

    def upload(self, key: str, path: Path) -> None:
        self._change()
        super().upload(key, path)

    def _delete(self, keys: list[str]) -> None:
        for key in keys:
            self._change()
            super()._delete([key])


def _id(step: int, lease_number: int = 1) -> CheckpointId:
    return CheckpointId(step=step, lease=lease_number)


def _manifest_key(step: int) -> str:
    return paths.manifest(RUN, step, 1)


def _steps(objects: Objects) -> list[int]:
    return [manifest.step for manifest in checkpoints.list_manifests(objects, RUN)]


def _there(objects: Objects) -> list[str]:
    return [str(manifest.id) for manifest in checkpoints.list_manifests(objects, RUN)]


def test_an_id_is_the_name_of_the_folder() -> None:
    assert str(_id(50, 3)) == "000000050-0003"


def test_what_is_committed_is_listed_whole_and_comes_back(objects: Objects, tmp_path: Path) -> None:
    assert checkpoints.newest(objects, RUN) is None
    first = new_checkpoint(objects, RUN, step=5, scratch=tmp_path, f1=0.5)
    second = new_checkpoint(objects, RUN, step=1_000_000_000, lease=12345, scratch=tmp_path, parent=first.id)
    assert checkpoints.list_manifests(objects, RUN) == [first, second]
    assert checkpoints.newest(objects, RUN) == second
    assert checkpoints.find(objects, RUN, 5) == checkpoints.read(objects, RUN, first.id) == first
    assert checkpoints.list_committed(objects, RUN) == [first.id, second.id]
    assert checkpoints.verify(objects, RUN, first.id) == []
    assert [file.path for file in first.files] == ["model.bin", "state/00000.safetensors"]
    checkpoints.fetch(objects, first, ["state/00000.safetensors"], tmp_path / "down")
    assert [path.name for path in (tmp_path / "down").rglob("*.*")] == ["00000.safetensors"]
    assert (tmp_path / "down/state/00000.safetensors").read_bytes() == b"state"


@pytest.mark.parametrize(
    ("steps", "told"), [([5, 10], "there are steps 5, 10"), ([], "it has none at all")], ids=["some", "none"]
)
def test_a_step_without_a_checkpoint(objects: Objects, tmp_path: Path, steps: list[int], told: str) -> None:
    for step in steps:
        new_checkpoint(objects, RUN, step=step, scratch=tmp_path)
    with pytest.raises(UserError, match=f"run a-0001 has no checkpoint of step 7: {told}"):
        checkpoints.find(objects, RUN, 7)


@pytest.mark.parametrize("changes", range(3))
def test_a_commit_killed_anywhere_leaves_the_one_before(objects: Objects, tmp_path: Path, changes: int) -> None:
    """Three changes: two files, the manifest."""
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    with pytest.raises(Killed):
        new_checkpoint(DyingObjects(objects, changes), RUN, step=10, scratch=tmp_path)
    assert _steps(objects) == [5]
    assert checkpoints.list_committed(objects, RUN) == [_id(5)]
    new_checkpoint(objects, RUN, step=10, lease=2, scratch=tmp_path)
    assert _steps(objects) == [5, 10]


def test_a_step_saved_again_is_that_of_the_latest_attempt(objects: Objects, tmp_path: Path) -> None:
    for number in (2, 1, 10):
        new_checkpoint(objects, RUN, step=5, lease=number, scratch=tmp_path)
    assert _there(objects) == ["000000005-0010"]


# The lease


def _check(objects: Objects, number: int) -> Callable[[], None]:
    return partial(lease.check, objects, RUN, number)


@pytest.fixture
def taken(objects: Objects) -> Objects:
    """A run whose first driver holds lease 1."""
    lease.take(objects, RUN, lease.this_process(), now=lambda: NOW)
    return objects


def _lose(objects: Objects) -> None:
    holder = lease.this_process()
    objects.create(paths.lease(RUN, 2), records.dump(lease.LeaseRecord(number=2, holder=holder, taken_at=NOW)))


def test_who_holds_the_lease_commits(taken: Objects, tmp_path: Path) -> None:
    new_checkpoint(taken, RUN, step=5, scratch=tmp_path, check=_check(taken, 1))
    assert _steps(taken) == [5]


def test_who_has_lost_the_lease_commits_nothing(taken: Objects, tmp_path: Path) -> None:
    _lose(taken)
    with pytest.raises(LeaseLost):
        new_checkpoint(taken, RUN, step=5, scratch=tmp_path, check=_check(taken, 1))
    assert _steps(taken) == []


def test_who_slept_between_check_and_commit_takes_it_back(taken: Objects, tmp_path: Path) -> None:
    class Sleeping(Objects):
        def put(self, key: str, data: bytes) -> None:
            _lose(taken)
            super().put(key, data)

    with pytest.raises(LeaseLost):
        new_checkpoint(Sleeping(taken.uri, taken._store), RUN, step=5, scratch=tmp_path, check=_check(taken, 1))
    assert _steps(taken) == []


def test_what_a_failed_try_left_is_taken_back_by_the_next(taken: Objects, tmp_path: Path) -> None:
    """The storage went away after the manifest was there, and the lease while it was tried again."""
    checks = iter([None, StorageError("gone")])

    def check() -> None:
        if error := next(checks):
            raise error

    with pytest.raises(StorageError, match="gone"):
        new_checkpoint(taken, RUN, step=5, scratch=tmp_path, check=check)
    manifest = checkpoints.find(taken, RUN, 5)
    _lose(taken)
    with pytest.raises(LeaseLost):
        checkpoints.commit(taken, manifest, check=_check(taken, 1))
    assert _steps(taken) == []


# Manifests that cannot be used


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"format": 1}', b'{"format": "x"}', b"\xff"],
    ids=["empty", "cut", "list", "object", "no-fields", "odd-format", "binary"],
)
def test_a_damaged_manifest_is_no_checkpoint(
    objects: Objects, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    new_checkpoint(objects, RUN, step=10, scratch=tmp_path)
    objects.put(_manifest_key(10), content)
    assert _steps(objects) == [5]
    assert f"a checkpoint is passed over: {objects.uri}: {_manifest_key(10)} is damaged" in caplog.text
    assert checkpoints.list_committed(objects, RUN) == [_id(5), _id(10)]
    with pytest.raises(Damaged):
        checkpoints.read(objects, RUN, _id(10))
    with pytest.raises(ObjectMissing):
        checkpoints.read(objects, RUN, _id(15))
    assert checkpoints.verify(objects, RUN, _id(10)) == [
        "runs/a-0001/checkpoints/000000010-0001/manifest.json is missing or damaged"
    ]


def test_a_manifest_of_a_newer_format_asks_for_an_upgrade(objects: Objects) -> None:
    objects.put(_manifest_key(5), json.dumps({"format": 2, "shards": []}).encode())
    with pytest.raises(StorageError, match=r"manifest.json has format 2, this eagleray knows formats up to 1: upgrade"):
        checkpoints.list_manifests(objects, RUN)


@pytest.mark.parametrize("path", ["../../escaped", "/etc/passwd", "a/../../b", "", "manifest.json"])
def test_a_manifest_cannot_lead_out_of_the_directory(objects: Objects, tmp_path: Path, path: str) -> None:
    manifest = new_checkpoint(objects, RUN, step=5, scratch=tmp_path).model_dump(mode="json")
    manifest["files"][0]["path"] = path
    objects.put(_manifest_key(5), json.dumps(manifest).encode())
    assert _steps(objects) == []


@pytest.mark.parametrize("checkpoint", [_id(10), _id(5, 2)], ids=["step", "attempt"])
def test_a_manifest_of_another_checkpoint_is_none(objects: Objects, tmp_path: Path, checkpoint: CheckpointId) -> None:
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    objects.put(paths.manifest(RUN, checkpoint.step, checkpoint.lease), objects.read(_manifest_key(5)))
    assert _there(objects) == ["000000005-0001"]
    with pytest.raises(Damaged, match="it is the manifest of 000000005-0001"):
        checkpoints.read(objects, RUN, checkpoint)


@pytest.mark.parametrize("name", ["latest", "50", "000000005", "000000005-0001-2", "x-0001"])
def test_other_folders_are_no_checkpoints(objects: Objects, tmp_path: Path, name: str) -> None:
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    objects.put(f"{paths.checkpoints(RUN)}/{name}/manifest.json", objects.read(_manifest_key(5)))
    checkpoints.prune(objects, RUN, keep=1, best=None)
    assert _there(objects) == ["000000005-0001"]
    assert name in objects.folders(paths.checkpoints(RUN))


# Damage


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(
            b"weights of 6", "model.bin has another content than the manifest says (sha256)", id="byte-flipped"
        ),
        pytest.param(b"weights", "model.bin has 7 bytes, the manifest says 12", id="cut"),
        pytest.param(None, "model.bin is missing", id="missing"),
    ],
)
def test_damage_is_found(objects: Objects, tmp_path: Path, content: bytes | None, problem: str) -> None:
    manifest = new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    key = f"{paths.checkpoint(RUN, 5, 1)}/model.bin"
    if content is None:
        objects.delete([key])
    else:
        objects.put(key, content)
    assert checkpoints.verify(objects, RUN, _id(5)) == [f"runs/a-0001/checkpoints/000000005-0001/{problem}"]
    with pytest.raises(CheckpointDamaged, match=r"000000005-0001/model.bin( is damaged|, which belongs)"):
        checkpoints.fetch(objects, manifest, ["model.bin"], tmp_path / "down")
    assert not (tmp_path / "down/model.bin").exists()
    checkpoints.fetch(objects, manifest, ["state/00000.safetensors"], tmp_path / "down")


def test_a_file_that_the_manifest_does_not_name(objects: Objects, tmp_path: Path) -> None:
    manifest = new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    with pytest.raises(CheckpointDamaged, match=r"names no .*000000005-0001/state/00001.safetensors"):
        checkpoints.fetch(objects, manifest, [paths.state_shard(1)], tmp_path / "down")


@pytest.mark.parametrize("changes", [0, 1, 2], ids=["before", "between", "whole"])
def test_a_damaged_checkpoint_is_set_aside(objects: Objects, tmp_path: Path, changes: int) -> None:
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    damaged = new_checkpoint(objects, RUN, step=10, scratch=tmp_path)
    try:
        checkpoints.set_aside(DyingObjects(objects, changes), damaged, reason="model.bin is cut")
    except Killed:
        checkpoints.set_aside(objects, damaged, reason="model.bin is cut")
    assert _steps(objects) == [5]
    key = f"{paths.checkpoint(RUN, 10, 1)}/damaged.json"
    told = records.load(objects, key, SetAsideRecord)
    assert (told.reason, told.manifest) == ("model.bin is cut", damaged)
    assert checkpoints.prune(objects, RUN, keep=1, best=None) == []
    assert objects.read(key)
    new_checkpoint(objects, RUN, step=10, lease=2, scratch=tmp_path)
    checkpoints.prune(objects, RUN, keep=2, best=None)
    assert objects.folders(paths.checkpoints(RUN)) == ["000000005-0001", "000000010-0002"]


# Pruning


@pytest.mark.parametrize(
    ("steps", "keep", "best_step", "left"),
    [
        pytest.param([], 1, None, [], id="nothing"),
        pytest.param([1], 1, None, [1], id="the-newest-stays"),
        pytest.param([1, 2, 3], 1, None, [3], id="keep-1"),
        pytest.param([1, 2, 3], 2, 3, [2, 3], id="best-is-newest"),
        pytest.param([1, 2, 3, 4], 2, 1, [1, 3, 4], id="best-is-old"),
        pytest.param([1, 2, 3], 5, 1, [1, 2, 3], id="fewer-than-keep"),
        pytest.param([1, 2], 1, 7, [2], id="best-is-not-there"),
    ],
)
def test_prune(
    objects: Objects, tmp_path: Path, steps: list[int], keep: int, best_step: int | None, left: list[int]
) -> None:
    for step in steps:
        new_checkpoint(objects, RUN, step=step, scratch=tmp_path)
    deleted = checkpoints.prune(objects, RUN, keep=keep, best=None if best_step is None else _id(best_step))
    assert deleted == [_id(step) for step in steps if step not in left]
    assert _steps(objects) == left
    assert objects.folders(paths.checkpoints(RUN)) == [str(_id(step)) for step in left]


@pytest.mark.parametrize(
    ("best", "left"),
    [
        pytest.param(None, ["000000005-0003"], id="the-latest-attempt-stays"),
        pytest.param(_id(5, 2), ["000000005-0002", "000000005-0003"], id="the-best-stays-besides"),
    ],
)
def test_prune_takes_the_earlier_attempts_of_a_step(
    objects: Objects, tmp_path: Path, best: CheckpointId | None, left: list[str]
) -> None:
    for number in (1, 2, 3):
        new_checkpoint(objects, RUN, step=5, lease=number, scratch=tmp_path)
    checkpoints.prune(objects, RUN, keep=2, best=best)
    assert objects.folders(paths.checkpoints(RUN)) == left


def test_prune_cleans_old_leftovers_but_no_upload_that_goes_on(objects: Objects, tmp_path: Path) -> None:
    new_checkpoint(objects, RUN, step=5, lease=2, scratch=tmp_path)
    for step, number in ((3, 1), (5, 1), (5, 3), (9, 1)):
        objects.put(f"{paths.checkpoint(RUN, step, number)}/model.bin", b"half")
    assert checkpoints.prune(objects, RUN, keep=1, best=None) == []
    assert objects.folders(paths.checkpoints(RUN)) == ["000000005-0002", "000000005-0003", "000000009-0001"]


@pytest.mark.parametrize("changes", range(3))
def test_prune_killed_anywhere_leaves_only_whole_checkpoints(objects: Objects, tmp_path: Path, changes: int) -> None:
    for step in (1, 2):
        new_checkpoint(objects, RUN, step=step, scratch=tmp_path)
    with pytest.raises(Killed):
        checkpoints.prune(DyingObjects(objects, changes), RUN, keep=1, best=None)
    assert all(checkpoints.verify(objects, RUN, each) == [] for each in checkpoints.list_committed(objects, RUN))
    checkpoints.prune(objects, RUN, keep=1, best=None)
    assert _steps(objects) == [2]
    assert objects.folders(paths.checkpoints(RUN)) == ["000000002-0001"]


def test_what_another_run_is_to_begin_with_stays(objects: Objects, tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        new_checkpoint(objects, RUN, step=step, scratch=tmp_path)
    assert checkpoints.pin(objects, RUN, 1, by="a")
    assert checkpoints.pin(objects, RUN, 1, by="b")
    assert not checkpoints.pin(objects, RUN, 9, by="a")

    left = []
    for name in ("a", "b"):
        checkpoints.prune(objects, RUN, keep=2, best=None)
        left.append(_steps(objects))
        checkpoints.unpin(objects, RUN, 1, by=name)
    checkpoints.prune(objects, RUN, keep=2, best=None)

    assert left == [[1, 3, 4], [1, 3, 4]]
    assert _steps(objects) == [3, 4]


def test_keep_must_keep_something(objects: Objects) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1"):
        checkpoints.prune(objects, RUN, keep=0, best=None)


# Files


@pytest.mark.parametrize("name", ["manifest.json", "damaged.json", "../x"])
def test_names_that_no_file_may_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be a file of a checkpoint"):
        checkpoints.describe_file(tmp_path / "file", name)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read: it is not there"):
        checkpoints.describe_file(tmp_path / "gone", "model.bin")
