"""Predictions come in the order of the rows, from the model as it was saved, in memory that does not grow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from eagleray import tasks
from eagleray.data.formats import SourceRow
from eagleray.data.sources import read_rows
from eagleray.errors import DataError, UserError
from eagleray.flow.predict import predict, results
from eagleray.model import export
from eagleray.model.images import ImageReader
from eagleray.model.load import load_model
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store import paths
from eagleray.store.objects import Objects, open_storage
from eagleray.tasks import trained
from tests.support import tiny_images
from tests.support.records import new_run
from tests.support.trained_runs import new_trained_run

SINGLE = {"type": "text-classification"}
TEXTS = ["a fine film", "x", "a mess of a plot that never ends", "", "warm and clever", "好 🙂"]


def rows(*raws: dict[str, Any]) -> Iterator[SourceRow]:
    return (SourceRow(raw, f"rows.jsonl:{number}") for number, raw in enumerate(raws, start=1))


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "runs"))


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_order_and_values_do_not_depend_on_batches(objects: Objects, tmp_path: Path, batch_size: int) -> None:
    run = new_trained_run(objects, tmp_path, task=SINGLE, labels=("bad", "good"))
    model = trained.load(tmp_path / f"model-{run}", device=torch.device("cpu"))

    answers = list(predict(objects, run, rows(*({"text": text} for text in TEXTS)), batch_size=batch_size))

    for text, answer in zip(TEXTS, answers, strict=True):
        with torch.inference_mode():
            logits = model.model(**model.tokenizer(text, return_tensors="pt")).logits
        assert answer["label"] == ("bad", "good")[logits.argmax().item()]
        assert list(answer["probabilities"].values()) == pytest.approx(logits.softmax(-1)[0].tolist(), abs=2e-6)


@pytest.mark.parametrize(
    ("task", "labels", "raw", "keys"),
    [
        pytest.param(
            {"type": "text-classification", "problem": "multi-label", "text": "t"},
            ("a", "b"),
            {"t": "x"},
            {"labels", "probabilities"},
            id="multi-label",
        ),
        pytest.param(
            {"type": "text-classification", "problem": "regression"}, (), {"text": "x"}, {"value"}, id="number"
        ),
        pytest.param({"type": "causal-lm", "max_new_tokens": 3}, (), {"text": "a fine"}, {"text"}, id="text"),
    ],
)
def test_shapes(
    objects: Objects, tmp_path: Path, task: dict[str, Any], labels: tuple[str, ...], raw: dict[str, Any], keys: set[str]
) -> None:
    run = new_trained_run(objects, tmp_path, task=task, labels=labels)

    answers = list(predict(objects, run, rows(raw, raw)))

    assert [set(answer) for answer in answers] == [keys, keys]


def test_a_name_means_its_newest_run(objects: Objects, tmp_path: Path) -> None:
    run = new_trained_run(objects, tmp_path, task=SINGLE, labels=("bad", "good"), name="films")

    assert list(predict(objects, "films", rows({"text": "x"}))) == list(predict(objects, run, rows({"text": "x"})))


def test_a_model_on_remote_storage_is_fetched(tmp_path: Path) -> None:
    objects = open_storage("memory://")
    run = new_trained_run(objects, tmp_path, task=SINGLE, labels=("bad", "good"))

    assert len(list(predict(objects, run, rows({"text": "x"})))) == 1


def test_rows_are_read_as_answers_are_taken(objects: Objects, tmp_path: Path) -> None:
    """A million rows wait at their source: no more than a window of them is held."""
    run = new_trained_run(objects, tmp_path, task=SINGLE, labels=("bad", "good"))
    taken = 0

    def endless() -> Iterator[SourceRow]:
        nonlocal taken
        while True:
            taken += 1
            yield SourceRow({"text": "x"}, f"rows.jsonl:{taken}")

    answers = predict(objects, run, endless(), batch_size=2)
    for _ in range(200):
        next(answers)

    assert taken <= 200 + 2 * 32


def test_no_rows(objects: Objects, tmp_path: Path) -> None:
    run = new_trained_run(objects, tmp_path, task=SINGLE, labels=("bad", "good"))

    assert list(predict(objects, run, rows())) == []


def test_a_malformed_row_is_named(objects: Objects, tmp_path: Path) -> None:
    run = new_trained_run(objects, tmp_path, task=SINGLE, labels=("bad", "good"))

    with pytest.raises(DataError, match=r"rows.jsonl:2: column `text` is missing \(columns of the row: 'txt'\)"):
        list(predict(objects, run, rows({"text": "x"}, {"txt": "x"})))


@pytest.mark.parametrize("phase", ["running", "failed"])
def test_a_run_without_a_model(objects: Objects, phase: str) -> None:
    run = new_run(objects, phase=phase).run

    with pytest.raises(UserError, match=f"is {phase} and has no final model"):
        predict(objects, run, rows({"text": "x"}))


def test_a_model_that_was_being_written_is_none(objects: Objects, tmp_path: Path) -> None:
    run = new_trained_run(objects, tmp_path, task=SINGLE, labels=("bad", "good"))
    objects.delete([f"{paths.model(run)}/eagleray.json"])

    with pytest.raises(UserError, match="has no final model"):
        predict(objects, run, rows({"text": "x"}))


def test_images_that_a_table_names_lie_beside_it(tmp_path: Path) -> None:
    source = tiny_images.save_model(tmp_path / "base")
    document = {"model": {"source": str(source)}, "task": {"type": "image-classification"}, "data": {"train": "x"}}
    spec, labels = FineTuneSpec.model_validate_json(json.dumps(document)), ("above", "below")
    task, reader = (
        tasks.build(spec.task).with_labels(labels),
        ImageReader(height=tiny_images.SIZE, width=tiny_images.SIZE),
    )
    overrides = task.config_overrides(reader)
    model = load_model(task.model_class(), source=str(source), dtype=torch.float32, config_overrides=overrides)
    (tmp_path / "model").mkdir()
    export.save(model, model.state_dict(), tmp_path / "model", tokenizer=reader, spec=spec, labels=labels)
    folder = tiny_images.write_folders(tmp_path / "pictures", num_each=1)
    (folder / "table.jsonl").write_text('{"image": "above/000.png"}\n{"image": "below/000.png"}\n')
    loaded = trained.load(tmp_path / "model", device=torch.device("cpu"))

    table = list(results(loaded, read_rows(str(folder / "table.jsonl"), split="test"), batch_size=2))

    there = rows(*({"image": str(folder / label / "000.png")} for label in labels))
    assert table == list(results(loaded, there, batch_size=2))
