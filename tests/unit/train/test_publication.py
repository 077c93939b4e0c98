"""Which checkpoint's model a run publishes: the best that is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eagleray.store import checkpoints, paths
from eagleray.store.checkpoints import CheckpointDamaged, CheckpointId
from eagleray.store.objects import Objects, open_storage
from eagleray.train import publication
from tests.support.records import new_checkpoint

RUN = "demo-0001"
BEST, NEXT = CheckpointId(step=20, lease=1), CheckpointId(step=30, lease=1)
FOLDER = f"runs/{RUN}/checkpoints/000000020-0001"

Damage = Callable[[Path], None]


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """Two checkpoints."""
    objects = open_storage(str(tmp_path / "storage"))
    for each in (BEST, NEXT):
        new_checkpoint(objects, RUN, step=each.step, scratch=tmp_path / "scratch")
    return objects


def _flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def _fetch(objects: Objects, folder: Path) -> tuple[CheckpointId, list[tuple[int, str]]]:
    """Which one was fetched, and which were passed over, and why."""
    told: list[tuple[int, str]] = []
    chosen = publication.fetch_whole(
        objects,
        RUN,
        [BEST, NEXT],
        lambda each: folder / str(each),
        on_damaged=lambda each, reason: told.append((each.step, reason)),
        on_trouble=lambda error: pytest.fail(f"tried again: {error}"),
    )
    return chosen, told


def test_the_best_one_is_fetched_without_its_state(objects: Objects, tmp_path: Path) -> None:
    assert _fetch(objects, tmp_path / "fetched") == (BEST, [])
    (file,) = (each for each in (tmp_path / "fetched").rglob("*") if each.is_file())
    assert (file.parent.name, file.name) == (str(BEST), "model.bin")


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        pytest.param("model.bin", _flip_a_byte, "size or hash differ", id="a-flipped-byte"),
        pytest.param("model.bin", _cut, "size or hash differ", id="a-cut-file"),
        pytest.param("model.bin", Path.unlink, "there is no", id="a-lost-file"),
        pytest.param("manifest.json", _cut, "is damaged", id="a-cut-manifest"),
        pytest.param("manifest.json", Path.unlink, "there is no", id="a-lost-manifest"),
    ],
)
def test_a_damaged_one_is_passed_over_and_named(
    objects: Objects, tmp_path: Path, name: str, damage: Damage, reason: str
) -> None:
    damage(tmp_path / "storage" / FOLDER / name)

    chosen, told = _fetch(objects, tmp_path / "fetched")

    assert chosen == NEXT
    ((step, why),) = told
    assert step == BEST.step
    assert f"{FOLDER}/{name}" in why
    assert reason in why
    assert (tmp_path / "fetched" / str(NEXT) / "model.bin").read_bytes() == b"weights of 30"


def test_damaged_state_is_no_reason(objects: Objects, tmp_path: Path) -> None:
    _flip_a_byte(tmp_path / "storage" / FOLDER / paths.state_shard(0))

    assert _fetch(objects, tmp_path / "fetched") == (BEST, [])


def test_none_is_whole(objects: Objects, tmp_path: Path) -> None:
    for manifest in checkpoints.list_manifests(objects, RUN):
        _flip_a_byte(tmp_path / "storage" / paths.checkpoint(RUN, manifest.step, manifest.lease) / "model.bin")

    with pytest.raises(CheckpointDamaged, match=rf"no checkpoint of run {RUN} .*{FOLDER}/model\.bin.*Restore the file"):
        _fetch(objects, tmp_path / "fetched")
