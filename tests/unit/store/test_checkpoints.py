"""A checkpoint exists as a whole or not at all, through every crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eagleray.errors import StorageError
from eagleray.store import checkpoints, paths
from eagleray.store.objects import Objects
from tests.support.records import new_checkpoint

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


def _steps(objects: Objects) -> list[int]:
    return [manifest.step for manifest in checkpoints.list_manifests(objects, RUN)]


def test_what_is_committed_is_listed_whole_and_comes_back(objects: Objects, tmp_path: Path) -> None:
    committed = new_checkpoint(objects, RUN, step=5, scratch=tmp_path, f1=0.5)
    assert checkpoints.list_manifests(objects, RUN) == [committed]
    assert [file.path for file in committed.files] == ["model.bin", "state/rank-0.bin"]
    assert checkpoints.verify(objects, RUN, 5) == []
    assert checkpoints.download(objects, RUN, 5, tmp_path / "down") == committed
    assert (tmp_path / "down/state/rank-0.bin").read_bytes() == b"state"


@pytest.mark.parametrize("changes", range(4))
def test_a_commit_killed_anywhere_leaves_the_one_before(objects: Objects, tmp_path: Path, changes: int) -> None:
    """Four changes come before the manifest is there: the old manifest, two files, the new manifest."""
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    with pytest.raises(Killed):
        new_checkpoint(DyingObjects(objects, changes), RUN, step=10, scratch=tmp_path)
    assert _steps(objects) == [5]
    new_checkpoint(objects, RUN, step=10, scratch=tmp_path)
    assert _steps(objects) == [5, 10]


@pytest.mark.parametrize("changes", range(1, 4))
def test_a_step_committed_again_and_killed_is_never_a_mixture(objects: Objects, tmp_path: Path, changes: int) -> None:
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    new_checkpoint(objects, RUN, step=10, scratch=tmp_path)
    files = {"model.bin": b"other weights", "state/rank-0.bin": b"other state"}
    with pytest.raises(Killed):
        new_checkpoint(DyingObjects(objects, changes), RUN, step=10, scratch=tmp_path, files=files)
    assert _steps(objects) == [5]
    assert all(checkpoints.verify(objects, RUN, step) == [] for step in _steps(objects))


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
    objects.put(paths.manifest(RUN, 10), content)
    assert _steps(objects) == [5]
    assert f"a checkpoint is passed over: {objects.uri}: {paths.manifest(RUN, 10)} is damaged" in caplog.text
    assert checkpoints.verify(objects, RUN, 10) == [
        "runs/a-0001/checkpoints/000000010/manifest.json is missing or damaged"
    ]


def test_a_manifest_of_a_newer_format_asks_for_an_upgrade(objects: Objects) -> None:
    objects.put(paths.manifest(RUN, 5), json.dumps({"format": 2, "shards": []}).encode())
    with pytest.raises(StorageError, match=r"manifest.json has format 2, this eagleray knows formats up to 1: upgrade"):
        checkpoints.list_manifests(objects, RUN)


@pytest.mark.parametrize("path", ["../../escaped", "/etc/passwd", "a/../../b", ""])
def test_a_manifest_cannot_lead_out_of_the_directory(objects: Objects, tmp_path: Path, path: str) -> None:
    manifest = new_checkpoint(objects, RUN, step=5, scratch=tmp_path).model_dump(mode="json")
    manifest["files"][0]["path"] = path
    objects.put(paths.manifest(RUN, 5), json.dumps(manifest).encode())
    assert _steps(objects) == []
    with pytest.raises(StorageError, match="has no checkpoint of step 5"):
        checkpoints.download(objects, RUN, 5, tmp_path / "down")


def test_a_manifest_of_another_step_is_no_checkpoint(objects: Objects, tmp_path: Path) -> None:
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    objects.put(paths.manifest(RUN, 10), objects.read(paths.manifest(RUN, 5)))
    assert _steps(objects) == [5]


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
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    key = f"{paths.checkpoint(RUN, 5)}/model.bin"
    if content is None:
        objects.delete([key])
    else:
        objects.put(key, content)
    assert checkpoints.verify(objects, RUN, 5) == [f"runs/a-0001/checkpoints/000000005/{problem}"]
    with pytest.raises(StorageError, match=r"model.bin( is damaged|$)"):
        checkpoints.download(objects, RUN, 5, tmp_path / "down")


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
    deleted = checkpoints.prune(objects, RUN, keep=keep, best_step=best_step)
    assert deleted == [step for step in steps if step not in left]
    assert _steps(objects) == left
    assert objects.folders(paths.checkpoints(RUN)) == [f"{step:09d}" for step in left]


def test_prune_cleans_old_leftovers_but_no_upload_that_goes_on(objects: Objects, tmp_path: Path) -> None:
    new_checkpoint(objects, RUN, step=5, scratch=tmp_path)
    for step in (3, 9):
        objects.put(f"{paths.checkpoint(RUN, step)}/model.bin", b"half")
    assert checkpoints.prune(objects, RUN, keep=1, best_step=None) == []
    assert objects.folders(paths.checkpoints(RUN)) == ["000000005", "000000009"]


@pytest.mark.parametrize("changes", range(3))
def test_prune_killed_anywhere_leaves_only_whole_checkpoints(objects: Objects, tmp_path: Path, changes: int) -> None:
    for step in (1, 2):
        new_checkpoint(objects, RUN, step=step, scratch=tmp_path)
    with pytest.raises(Killed):
        checkpoints.prune(DyingObjects(objects, changes), RUN, keep=1, best_step=None)
    assert all(checkpoints.verify(objects, RUN, step) == [] for step in _steps(objects))
    checkpoints.prune(objects, RUN, keep=1, best_step=None)
    assert _steps(objects) == [2]
    assert objects.folders(paths.checkpoints(RUN)) == ["000000002"]


def test_keep_must_keep_something(objects: Objects) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1"):
        checkpoints.prune(objects, RUN, keep=0, best_step=None)


@pytest.mark.parametrize(
    ("files", "problem"),
    [({}, "there is no file to save"), ({"manifest.json": b""}, "cannot be called manifest.json")],
    ids=["empty", "manifest"],
)
def test_directories_that_are_no_checkpoint(tmp_path: Path, files: dict[str, bytes], problem: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StorageError, match=problem):
        checkpoints.describe(tmp_path)
