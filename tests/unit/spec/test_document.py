"""A document's way from a file and back, and the origin of each value."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eagleray.errors import UserError
from eagleray.spec import document
from tests.support import documents

FULL = documents.text(
    storage="s3://bucket/a",
    task="{type: text-classification, problem: multi-label, labels: ['no', '1e5', 'ü: x'], label_separator: \"\\n\"}",
    data="{train: a.csv, keep: {a.b: [x]}, validation: {file: b.csv}, batching: {type: plain}}",
    method="{type: lora, rank: 4, target_modules: [q, v]}",
    train="{micro_batch_size: 4, gradient_clip: null, learning_rate: 1e-7, schedule: {type: polynomial, power: 1}}",
    scale="{num_workers: 2, zero: {stage: 3, offload_parameters: true}}",
    checkpoint="{every_steps: 5, best_by: {metric: loss, mode: min}}",
)


@pytest.mark.parametrize("text", [pytest.param(documents.text(), id="shortest"), pytest.param(FULL, id="full")])
def test_dump_loads_back_equal(text: str) -> None:
    loaded = document.loads(text, source="a.yaml").document

    assert document.loads(document.dump(loaded), source="b.yaml").document == loaded


def test_dump_is_block_yaml_in_the_order_of_the_models() -> None:
    lines = document.dump(document.loads(documents.text(), source="a.yaml").document).splitlines()

    assert lines[:8] == [
        "apiVersion: eagleray.io/v1alpha1",
        "kind: FineTune",
        "metadata:",
        "  name: films",
        "spec:",
        "  storage: null",
        "  model:",
        "    source: owner/encoder",
    ]


def test_every_leaf_has_an_origin() -> None:
    loaded = document.loads(FULL, source="a.yaml", overrides=["train.seed=1"])

    origins = {path: str(origin) for path, origin in loaded.origins.items()}
    assert origins["apiVersion"] == "line 1"
    assert origins["spec.task.labels"] == "line 6"
    assert origins['spec.data.keep."a.b"'] == "line 7"
    assert origins["spec.data.max_length"] == "default"
    assert origins["spec.train.seed"] == "--set"
    assert origins["spec.checkpoint.best_by.mode"] == "line 12"
    assert list(origins)[:4] == ["apiVersion", "kind", "metadata.name", "spec.storage"]


def test_load_keeps_text_and_path(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(documents.text(), encoding="utf-8")

    loaded = document.load(path, overrides=["train.seed=1"])

    assert (loaded.text, loaded.path) == (documents.text(), path)


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + documents.text().replace("\n", "\r\n").encode())

    assert str(document.load(path).origins["spec.data.train"]) == "line 7"


def test_missing_file_names_a_similar_one(tmp_path: Path) -> None:
    (tmp_path / "films.yaml").touch()

    with pytest.raises(UserError, match=r'film.yaml: there is no such file; did you mean "films.yaml"\?'):
        document.load(tmp_path / "film.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("nowhere/at/all.yaml", "there is no such file", id="no-folder"),
        pytest.param("folder", "is a directory; give one document in it: a.yaml, b.yml", id="directory"),
        pytest.param("a-file/b.yaml", "cannot be read: Not a directory", id="below-a-file"),
        pytest.param("x" * 300, "cannot be read: File name too long", id="long-name"),
        pytest.param("latin-1.yaml", "latin-1.yaml:2: byte 0xfc is not UTF-8: save the file as UTF-8", id="latin-1"),
        pytest.param("/dev/zero", "larger than 1 MB: this is no document", id="endless"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.yml").touch()
    (tmp_path / "folder" / "a.yaml").touch()
    (tmp_path / "a-file").touch()
    (tmp_path / "latin-1.yaml").write_bytes(b"a: 1\nb: \xfc\n")

    with pytest.raises(UserError) as raised:
        document.load(tmp_path / name)

    assert str(raised.value).endswith(message)


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.touch(mode=0o000)

    with _somebody(), pytest.raises(UserError, match="no permission to read it"):
        document.load(path)


@contextmanager
def _somebody() -> Iterator[None]:
    """Root may read everything: look as a user who may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
