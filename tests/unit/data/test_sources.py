"""Sources: which files a name means, in which order, and what is said where there is nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eagleray.data.digests import Digests
from eagleray.data.sources import Hub, locate, read_rows, source_fingerprint
from eagleray.errors import DataError, UserError
from eagleray.model import images
from tests.support import tiny_images
from tests.support.reviews import write_jsonl

ROW = {"text": "a", "label": "x"}


def texts(source: str, split: str = "train") -> list[str]:
    return [row.raw["text"] for row in read_rows(source, split=split)]


def fingerprint(source: str, directory: Path, split: str = "train") -> str:
    return source_fingerprint(source, split=split, digests=Digests(directory / "digests.json"))


def test_a_glob_reads_its_files_sorted_and_names_them_apart(tmp_path: Path) -> None:
    for name in ("b/1", "a/2", "a/10"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": name}])
    rows = list(read_rows(str(tmp_path / "*/*.jsonl"), split="train"))
    assert [row.place for row in rows] == ["a/10.jsonl:1", "a/2.jsonl:1", "b/1.jsonl:1"]
    assert [row.raw["text"] for row in rows] == ["a/10", "a/2", "b/1"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path: Path) -> None:
    assert texts(write_jsonl(tmp_path / "a[1].jsonl", [ROW])) == ["a"]


def test_files_of_installed_packages_are_read_without_importing_them() -> None:
    with pytest.raises(UserError, match="no_such_package"):
        texts("pkg://no_such_package/rows.csv")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{}/reviws.jsonl", r"no such file or directory \(did you mean 'reviews.jsonl'\?\)"),
        (
            "{}/other.csv",
            "no such file or directory: .* holds 'empty', 'reviews.jsonl'",
        ),
        ("{}/none/other.csv", "no such file or directory: the folder .*/none does not exist"),
        ("{}/*.csv", r"\*.csv: no file matches: .* holds 'empty', 'reviews.jsonl'"),
        ("{}/none/*.csv", "no file matches: the folder .* does not exist"),
        ("{}/empty", "a directory that was not written by `Dataset.save_to_disk`.*it holds nothing"),
        ("s3://bucket/rows.csv", "rows are not read from this kind of address"),
        ("data/train.jsonl", "data/train.jsonl: no such file or directory"),
        ("hub://a/b/c", "not of the form hub://owner/name"),
    ],
)
def test_a_source_that_is_not_there_is_named_with_what_is(tmp_path: Path, source: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    write_jsonl(tmp_path / "reviews.jsonl", [ROW])
    with pytest.raises(DataError, match=expected):
        texts(source.format(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [("a.jsonl", "", "the file is empty"), ("a.csv", "", "the file is empty"), ("a.csv", "text\n", "below the header")],
)
def test_a_source_without_rows_is_an_error(tmp_path: Path, name: str, content: str, why: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"no rows: .*{why}"):
        texts(str(tmp_path / name))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("owner/name", Hub("owner/name", None, "test")),
        ("hub://name", Hub("name", None, "test")),
        ("hub://owner/name@v1.0", Hub("owner/name", "v1.0", "test")),
        ("hub://owner/name#train[:10%]", Hub("owner/name", None, "train[:10%]")),
        ("hub://owner/name@main#validation", Hub("owner/name", "main", "validation")),
    ],
)
def test_names_of_the_hub(source: str, expected: Hub) -> None:
    assert locate(source, split="test") == expected


def test_a_hub_that_cannot_be_reached_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"hub://owner/name: the Hugging Face Hub cannot be reached.*save_to_disk"):
        texts("owner/name")


class TestSavedDataset:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(
            {
                "text": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["bad", "good"]),
                "tags": datasets.List(datasets.ClassLabel(names=["x", "y"])),
            }
        )
        rows = {"text": ["a", "b", "c"], "label": [0, 1, None], "tags": [[0], [1, 0], []]}
        train = datasets.Dataset.from_dict(rows, features=features)
        splits = datasets.DatasetDict({"train": train, "test": train.select([2])})
        datasets.disable_progress_bars()
        splits.save_to_disk(tmp_path / "reviews")
        return tmp_path / "reviews"

    def test_the_split_of_that_name_is_read_and_class_labels_by_name(self, saved: Path) -> None:
        rows = list(read_rows(str(saved), split="train"))
        assert [row.raw["label"] for row in rows] == ["bad", "good", None]
        assert [row.raw["tags"] for row in rows] == [["x"], ["y", "x"], []]
        assert [row.place for row in rows] == ["reviews/train:1", "reviews/train:2", "reviews/train:3"]
        assert texts(str(saved), split="test") == ["c"]

    def test_one_split_can_be_named_as_a_directory(self, saved: Path) -> None:
        assert texts(str(saved / "test"), split="validation") == ["c"]

    def test_a_split_that_is_not_there_is_an_error(self, saved: Path) -> None:
        with pytest.raises(DataError, match="no split 'validation' in this data set directory: it has 'train', 'test'"):
            texts(str(saved), split="validation")

    def test_its_fingerprint_is_of_the_split(self, saved: Path, tmp_path: Path) -> None:
        assert fingerprint(str(saved), tmp_path) == fingerprint(str(saved / "train"), tmp_path)
        assert fingerprint(str(saved), tmp_path) != fingerprint(str(saved), tmp_path, split="test")

    def test_a_directory_that_was_cut_short_is_an_error(self, saved: Path) -> None:
        (saved / "test/state.json").write_text("{}")
        with pytest.raises(DataError, match="not a whole data set directory"):
            texts(str(saved / "test"))


def test_a_fingerprint_is_of_content_format_and_order_not_of_names(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "a.jsonl", [ROW])
    second = write_jsonl(tmp_path / "b.jsonl", [ROW, ROW])
    copy = write_jsonl(tmp_path / "c.jsonl", [ROW])
    table = write_jsonl(tmp_path / "c.csv", [ROW])
    both = str(tmp_path / "[ab].jsonl")
    assert fingerprint(first, tmp_path) == fingerprint(copy, tmp_path)
    assert len({fingerprint(source, tmp_path) for source in (first, second, both, table)}) == 4


@pytest.mark.parametrize("kind", ["folders", "table"])
def test_images_are_hashed_once_and_one_that_changes_is_noticed(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_images.write_folders(tmp_path / "pictures", num_each=10)
    files = sorted(folder.rglob("*.png"))
    rows = [{"image": str(file), "label": file.parent.name} for file in files]
    source = {"folders": folder, "table": Path(write_jsonl(tmp_path / "table.jsonl", rows))}[kind]
    for path in (*files, tmp_path / "table.jsonl"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    read: list[Path] = []
    plain = Digests._read
    monkeypatch.setattr(Digests, "_read", lambda self, path: read.append(path) or plain(self, path))

    def found() -> str:
        read.clear()
        digests = Digests(tmp_path / "digests.json")
        return source_fingerprint(str(source), split="train", digests=digests, columns=("image",))

    before = found()
    assert set(files) <= set(read)
    assert found() == before
    assert read == []

    files[3].write_bytes(images.png(tiny_images.picture("above", 77)))
    assert found() != before
