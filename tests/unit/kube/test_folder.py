"""A folder of manifests is whole at any moment, and holds nothing that is no longer rendered."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eagleray.errors import UserError
from eagleray.kube import folder
from tests.support import rendered

PLAIN, SWEEP = (
    next(case.render().manifests for case in rendered.CASES if case.name == name) for name in ("plain", "sweep")
)


def _names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def test_one_file_an_object_and_an_index(tmp_path: Path) -> None:
    written = folder.write(tmp_path / "a" / "b", PLAIN)
    index = yaml.safe_load((tmp_path / "a" / "b" / "kustomization.yaml").read_text(encoding="utf-8"))

    assert (
        {path.name for path in written} == _names(tmp_path / "a" / "b") == {*index["resources"], "kustomization.yaml"}
    )
    assert index["resources"] == sorted(index["resources"])
    assert "rayjob-films.yaml" in index["resources"]


def test_what_is_no_longer_rendered_goes(tmp_path: Path) -> None:
    folder.write(tmp_path, SWEEP)
    worker = "poddisruptionbudget-films-train-worker.yaml"
    assert worker in _names(tmp_path)

    folder.write(tmp_path, PLAIN)

    assert worker not in _names(tmp_path)


def test_the_same_twice_changes_nothing(tmp_path: Path) -> None:
    folder.write(tmp_path, PLAIN)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    folder.write(tmp_path, PLAIN)

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_killed_write_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".rayjob-films.yaml.part").write_text("half", encoding="utf-8")

    folder.write(tmp_path, PLAIN)

    assert not [name for name in _names(tmp_path) if name.endswith(".part")]


@pytest.mark.parametrize("name", ["notes.txt", "kustomization.yaml"])
def test_files_of_somebody_else_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("resources: []\n", encoding="utf-8")

    with pytest.raises(UserError, match=f"holds {name}, which `render` has not written: give an empty directory"):
        folder.write(tmp_path, PLAIN)
    assert _names(tmp_path) == {name}


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(UserError, match="cannot be written"):
        folder.write(tmp_path / "file" / "below", PLAIN)
