"""What travels with a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.flow import staging
from eagleray.spec import document, locations
from eagleray.spec.finetune import FineTune
from tests.support import documents


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What a user has: documents beside data and a model."""
    files = {
        "train.jsonl": "train",
        "test.jsonl": "test",
        "parts/a/1.jsonl": "a1",
        "parts/b/1.jsonl": "b1",
        "parts/b/notes.txt": "no data",
        "saved/train/data.arrow": "arrow",
        "model/config.json": "{}",
        "model/model.safetensors": "weights",
    }
    for name, content in files.items():
        file = tmp_path / "home" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.mkdir()
    return path


def _document(home: Path, **sections: str) -> FineTune:
    return locations.absolute(document.loads(documents.text(**sections), source="test").document, home)


def _staged(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != staging.DOCUMENT]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


def _spec(folder: Path) -> Any:
    return document.load(folder / staging.DOCUMENT).document.spec


@pytest.mark.parametrize(
    ("source", "named", "files"),
    [
        ("train.jsonl", "data-train/train.jsonl", {"data-train/train.jsonl": "train"}),
        (
            "parts/b/*.jsonl",
            "data-train/*.jsonl",
            {"data-train/1.jsonl": "b1"},
        ),
        (
            "parts/*/1.jsonl",
            "data-train/*/1.jsonl",
            {"data-train/a/1.jsonl": "a1", "data-train/b/1.jsonl": "b1"},
        ),
        ("saved", "data-train/saved", {"data-train/saved/train/data.arrow": "arrow"}),
        ("pkg://package/rows.csv", "pkg://package/rows.csv", {}),
        ("hub://owner/rows", "hub://owner/rows", {}),
    ],
    ids=["file", "glob", "glob over folders", "directory", "package", "hub"],
)
def test_a_source(home: Path, folder: Path, source: str, named: str, files: dict[str, str]) -> None:
    staging.stage(_document(home, data=f"{{train: '{source}'}}"), folder)

    assert _spec(folder).data.train == named
    assert _staged(folder) == files


def test_everything_that_is_named_and_nothing_else(home: Path, folder: Path) -> None:
    data = "{train: train.jsonl, validation: {file: train.jsonl}, test: test.jsonl}"

    staging.stage(_document(home, data=data, model="{source: ./model}"), folder)

    spec = _spec(folder)
    assert spec.data.validation.file == "data-validation-file/train.jsonl"
    assert spec.data.test == "data-test/test.jsonl"
    assert spec.model.source == "model-source/model"
    assert _staged(folder) == {
        "data-train/train.jsonl": "train",
        "data-validation-file/train.jsonl": "train",
        "data-test/test.jsonl": "test",
        "model-source/model/config.json": "{}",
        "model-source/model/model.safetensors": "weights",
    }


def test_what_is_unpacked_resolves_to_itself(home: Path, folder: Path) -> None:
    staging.stage(_document(home, data="{train: parts/*/1.jsonl}", model="{source: ./model}"), folder)

    there = locations.absolute(document.load(folder / staging.DOCUMENT).document, folder).spec
    assert there.model.source == str(folder / "model-source" / "model")
    assert there.data.train == str(folder / "data-train" / "*" / "1.jsonl")


IMAGES = "{type: image-classification, image: file}"


def test_what_a_table_names_travels_beside_it(home: Path, folder: Path) -> None:
    (home / "images").mkdir()
    (home / "images" / "1.png").write_text("one", encoding="utf-8")
    (home / "images" / "2.png").write_text("not named", encoding="utf-8")
    (home / "train.csv").write_text("file,label\nimages/1.png,a\nimages/gone.png,b\n", encoding="utf-8")

    staging.stage(_document(home, data="{train: train.csv}", task=IMAGES, method="{type: full}"), folder)

    assert _spec(folder).data.train == "data-train/train.csv"
    assert set(_staged(folder)) == {"data-train/train.csv", "data-train/images/1.png"}


def test_what_lies_elsewhere_cannot_travel(home: Path, folder: Path) -> None:
    (home.parent / "1.png").write_text("one", encoding="utf-8")
    (home / "train.csv").write_text("file,label\n../1.png,a\n", encoding="utf-8")

    with pytest.raises(UserError, match=r"spec\.data\.train: .*1\.png, which lies outside .*home"):
        staging.stage(_document(home, data="{train: train.csv}", task=IMAGES, method="{type: full}"), folder)


@pytest.mark.parametrize("source", ["gone.jsonl", "parts/*/gone.jsonl"], ids=["file", "glob"])
def test_a_missing_file(home: Path, folder: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"spec\.data\.train: .*gone\.jsonl is not here"):
        staging.stage(_document(home, data=f"{{train: '{source}'}}"), folder)


def test_too_large_together(home: Path, folder: Path) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        with (home / name).open("wb") as file:
            file.truncate(staging.MAX_BYTES // 2 + 2**20)  # sparse: takes no room

    with pytest.raises(
        UserError, match=r"spec\.data\.test: .* to 258 MiB, more than 256 MiB: put it on a shared mount"
    ):
        staging.stage(_document(home, data="{train: train.jsonl, test: test.jsonl}"), folder)


def test_a_link_out_of_a_model_takes_nothing_along(home: Path, folder: Path) -> None:
    (home / "id_rsa").write_text("private", encoding="utf-8")
    (home / "model" / "notes.txt").symlink_to(home / "id_rsa")

    with pytest.raises(UserError, match=r"model/notes\.txt is a link to .*id_rsa, outside the model's directory"):
        staging.stage(_document(home, data="{train: train.jsonl}", model="{source: ./model}"), folder)

    assert _staged(folder).keys() <= {"data-train/train.jsonl"}


@pytest.mark.parametrize("source", ["saved", "saved/train/*"], ids=["directory", "glob"])
def test_a_link_out_of_data_takes_nothing_along(home: Path, folder: Path, source: str) -> None:
    (home / "id_rsa").write_text("private", encoding="utf-8")
    (home / "saved" / "train" / "more.arrow").symlink_to(home / "id_rsa")

    with pytest.raises(UserError, match=r"spec\.data\.train: .*more\.arrow is a link to .*id_rsa, outside .*saved"):
        staging.stage(_document(home, data=f"{{train: '{source}'}}"), folder)

    assert _staged(folder) == {}


def test_a_link_that_a_table_names_takes_nothing_along(home: Path, folder: Path) -> None:
    (home.parent / "id_rsa").write_text("private", encoding="utf-8")
    (home / "1.png").symlink_to(home.parent / "id_rsa")
    (home / "train.csv").write_text("file,label\n1.png,a\n", encoding="utf-8")

    with pytest.raises(UserError, match=r"spec\.data\.train: .*1\.png is a link to .*id_rsa, outside .*home"):
        staging.stage(_document(home, data="{train: train.csv}", task=IMAGES, method="{type: full}"), folder)

    assert _staged(folder).keys() == {"data-train/train.csv"}


def test_what_is_named_may_be_a_link_itself(home: Path, folder: Path) -> None:
    (home / "rows").symlink_to(home / "saved")

    staging.stage(_document(home, data="{train: rows}"), folder)

    assert _staged(folder) == {"data-train/rows/train/data.arrow": "arrow"}


def test_the_links_of_the_hubs_cache_are_followed(home: Path, folder: Path) -> None:
    snapshot = home / "models--owner--name" / "snapshots" / "abc"
    blob = home / "models--owner--name" / "blobs" / "123"
    for directory in (snapshot, blob.parent):
        directory.mkdir(parents=True)
    blob.write_text("weights", encoding="utf-8")
    (snapshot / "model.safetensors").symlink_to("../../blobs/123")

    staging.stage(_document(home, data="{train: train.jsonl}", model=f"{{source: '{snapshot}'}}"), folder)

    assert _staged(folder)["model-source/abc/model.safetensors"] == "weights"
