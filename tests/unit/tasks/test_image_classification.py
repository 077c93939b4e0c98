"""image-classification: what a row is, that augmentation follows from seed and epoch, and what is answered."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from eagleray import methods
from eagleray.data.prepare import Prepared, prepare
from eagleray.errors import DataError, UserError
from eagleray.model import images
from eagleray.model.images import ImageReader
from eagleray.model.load import load_model
from eagleray.serving import protocol
from eagleray.spec.data import DataSpec
from eagleray.spec.method import LoraSpec
from eagleray.spec.task import TaskSpec
from eagleray.spec.task.content import RowContent
from eagleray.spec.task.image_classification import ImageAugmentSpec
from eagleray.tasks import augmentation, ready
from eagleray.tasks.image_classification import ImageClassification
from tests.support import tiny_images

READER = ImageReader(height=tiny_images.SIZE, width=tiny_images.SIZE)
URI = "data:image/png;base64," + base64.b64encode(images.png(tiny_images.picture("above", 1))).decode()


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return tiny_images.write_folders(tmp_path / "pictures", num_each=10)


def _prepare(source: Path | str, cache: Path, **task: Any) -> Prepared:
    return prepare(
        DataSpec(train=str(source)),
        task=ImageClassification(**task),
        tokenizer=READER,
        tokenizer_fingerprint=READER.fingerprint(),
        seed=0,
        cache_dir=cache,
        content=RowContent(has_classes=True, files=(task.get("image", "image"),)),
    )


def _batch(data: Prepared, *, draw: tuple[int, int] | None = None, **task: Any) -> dict[str, torch.Tensor]:
    built = ready(ImageClassification(**task), labels=data.labels, tokenizer=READER)
    samples = data.train.samples(np.arange(4))
    drawn = [sample if draw is None else sample | {"draw": draw} for sample in samples]
    return built.collate(drawn, weights=np.ones(4, dtype=np.float32), pad_id=0, max_length=8)


class TestRows:
    def test_folders_are_classes(self, folders: Path, tmp_path: Path) -> None:
        data = _prepare(folders, tmp_path / "cache")

        assert data.labels == ("above", "below")
        assert (len(data.train), len(data.validation)) == (18, 2)
        assert data.train.place(0) == "above/000.png"
        assert _batch(data)["pixel_values"].shape == (4, 3, 16, 16)

    def test_a_table_names_files_beside_it(self, folders: Path, tmp_path: Path) -> None:
        table = folders.parent / "table.jsonl"
        rows = [
            {"file": f"pictures/{file.parent.name}/{file.name}", "kind": file.parent.name}
            for file in sorted(folders.rglob("*.png"))
        ]
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))

        data = _prepare(table, tmp_path / "cache", image="file", label="kind")

        assert data.labels == ("above", "below")
        expected = _batch(_prepare(folders, tmp_path / "cache"))
        assert torch.equal(_batch(data, image="file", label="kind")["pixel_values"], expected["pixel_values"])

    def test_an_image_that_changes_is_other_data(self, folders: Path, tmp_path: Path) -> None:
        before = _prepare(folders, tmp_path / "cache").fingerprint
        (folders / "above" / "000.png").write_bytes(images.png(tiny_images.picture("above", 77)))

        assert _prepare(folders, tmp_path / "cache").fingerprint != before

    def test_so_is_one_that_a_table_names(self, folders: Path, tmp_path: Path) -> None:
        table = tmp_path / "table.jsonl"
        files = sorted(folders.rglob("*.png"))
        table.write_text("".join(json.dumps({"image": str(file), "label": file.parent.name}) + "\n" for file in files))
        before = _prepare(table, tmp_path / "cache").fingerprint
        assert _prepare(table, tmp_path / "cache").from_cache

        files[0].write_bytes(images.png(tiny_images.picture("above", 77)))

        assert _prepare(table, tmp_path / "cache").fingerprint != before

    def test_images_that_do_not_open_are_named(self, folders: Path, tmp_path: Path) -> None:
        (folders / "above" / "003.png").write_bytes(b"torn")
        with pytest.raises(
            DataError, match=r"1 of 20 rows cannot be used(.|\n)*above/003\.png: .*no image that can be opened"
        ):
            _prepare(folders, tmp_path / "cache")

        data = _prepare(folders, tmp_path / "cache", max_broken=0.05)

        assert len(data.train) + len(data.validation) == 19
        assert any("1 rows cannot be used and are left out: above/003.png" in told for told in data.report.warnings)

    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            ({}, "column `image` is missing"),
            ({"image": "/nowhere.png"}, "/nowhere.png cannot be read: No such file"),
            ({"image": "data:image/png,xx"}, "not base64"),
            ({"image": "data:image/png;base64,??"}, "is no base64"),
        ],
        ids=["missing", "no file", "plain URI", "broken URI"],
    )
    def test_wrong_rows(self, raw: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            ImageClassification().read_input(raw)


class TestAugmentation:
    OPTIONS: ClassVar = {"augment": ImageAugmentSpec(crop=0.5, flip=True)}

    @pytest.mark.parametrize(
        ("one", "other", "is_same"),
        [((1, 0), (1, 0), True), ((1, 0), (1, 1), False), ((1, 0), (2, 0), False), (None, (1, 0), False)],
        ids=["same epoch", "next epoch", "other seed", "evaluation"],
    )
    def test_follows_from_seed_and_epoch(
        self, one: Any, other: Any, is_same: bool, folders: Path, tmp_path: Path
    ) -> None:
        data = _prepare(folders, tmp_path / "cache", **self.OPTIONS)

        batches = [_batch(data, draw=draw, **self.OPTIONS)["pixel_values"] for draw in (one, other)]

        assert torch.equal(*batches) is is_same

    def test_evaluation_sees_images_as_they_are(self, folders: Path, tmp_path: Path) -> None:
        data = _prepare(folders, tmp_path / "cache", **self.OPTIONS)

        assert torch.equal(_batch(data, **self.OPTIONS)["pixel_values"], _batch(data)["pixel_values"])

    def test_boxes_lie_within_and_are_as_large_as_wanted(self) -> None:
        for number in range(200):
            top, left, height, width = augmentation.box(20, 30, smallest_share=0.5, draw=(number,))
            assert 0 <= top <= 20 - height
            assert 0 <= left <= 30 - width
            assert height * width >= 0.45 * 600

    def test_half_are_turned(self) -> None:
        turned = [augmentation.is_flipped(draw=(number,)) for number in range(400)]
        assert sum(turned) / 400 == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_learns_and_answers(kind: Any, folders: Path, tmp_path: Path) -> None:
    data = _prepare(folders, tmp_path / "cache")
    task = ready(ImageClassification(), labels=data.labels, tokenizer=READER)
    source = str(tiny_images.save_model(tmp_path / kind, kind=kind))
    model = load_model(
        task.model_class(), source=source, dtype=torch.float32, config_overrides=task.config_overrides(READER)
    )
    samples = data.train.samples(np.arange(len(data.train)))
    batch = task.collate(samples, weights=np.ones(len(samples), dtype=np.float32), pad_id=0, max_length=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(15):
        optimizer.zero_grad()
        task.loss(model, batch)[0].backward()
        optimizer.step()
    model.eval()

    columns = task.encode([task.read_input({"image": URI})], READER, 8)
    asked = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    with torch.inference_mode():
        answers = task.predict(
            model, READER, task.collate(asked, weights=np.ones(1, dtype=np.float32), pad_id=0, max_length=8)
        )

    assert answers[0]["label"] == "above"


def test_an_endpoint_takes_images_and_no_paths() -> None:
    spec: TaskSpec = TypeAdapter[TaskSpec](TaskSpec).validate_python({"type": "image-classification"})
    row = protocol.row_type(spec)

    row.model_validate({"image": URI})
    for value in ("/etc/passwd", "file:///etc/passwd", "data:text/plain;base64,AAAA", "data:image/png;base64,"):
        with pytest.raises(ValidationError):
            row.model_validate({"image": value})


def test_a_row_is_asked_as_a_picture(folders: Path) -> None:
    task = ImageClassification().bound_to(READER)

    question = task.asked(task.read({"image": str(folders / "above" / "000.png"), "label": "above"}))

    assert question["image"].startswith("data:image/png;base64,")
    assert task.read_input(question) == question


def test_a_convolutional_net_has_nothing_to_adapt(tmp_path: Path) -> None:
    task = ImageClassification(labels=("above", "below"))
    source = str(tiny_images.save_model(tmp_path / "resnet", kind="resnet"))
    model = load_model(
        task.model_class(), source=source, dtype=torch.float32, config_overrides=task.config_overrides(READER)
    )

    with pytest.raises(UserError, match="ResNetForImageClassification has no linear layer but its head"):
        methods.apply(model, LoraSpec(type="lora"), task=task)
