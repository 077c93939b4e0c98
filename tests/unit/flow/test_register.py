"""A run's model becomes a version that can be loaded, proved and traced back; nothing half is ever a version."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from eagleray.errors import StorageError, UserError
from eagleray.flow.register import evaluated_on, onnx_files, register
from eagleray.model import export
from eagleray.model.load import load_model
from eagleray.serving import loaded
from eagleray.spec.document import dump
from eagleray.spec.endpoint import OnnxBackendSpec, TorchBackendSpec
from eagleray.spec.finetune import FineTune
from eagleray.store import paths, registry, runs
from eagleray.store.lineage import GoldenRow, VersionRecord
from eagleray.store.objects import LocalObjects, Objects, open_storage
from eagleray.train import inputs
from tests.support import demo_packages, tiny_models
from tests.support.records import LOCK, NOW
from tests.support.trained_runs import new_trained_run
from tests.support.training import document, write_reviews

LATER = datetime(2026, 2, 3, tzinfo=UTC)
METRICS = {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.5}}


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


class Said(list[str]):
    """What was told, and the warnings in it."""

    @property
    def warnings(self) -> list[str]:
        return [text for text in self if text.startswith("warning")]


@pytest.fixture
def said() -> Said:
    return Said()


def finished_run(
    objects: Objects, scratch: Path, *, made_from: FineTune | None = None, writes: bool = False, **changes: Any
) -> runs.RunRecord:
    """A run that succeeded on reviews: record, document, lock and a model that nobody trained. `writes`: a decoder."""
    made_from = made_from or reviews_document(scratch, writes=writes)
    found = inputs.load(made_from.spec, cache_dir=scratch / "cache")
    lock = LOCK.model_copy(update={"data_fingerprint": found.data.fingerprint, "model_sha256": "5" * 64})
    facts = {"phase": "succeeded", "best_step": 7, "metrics": METRICS, **changes}
    run = runs.create(objects, name=made_from.metadata.name, document=dump(made_from), lock=lock, now=NOW)
    record = run.model_copy(update=facts)
    runs.save(objects, record)
    put_model(objects, record.run, scratch, made_from)
    return record


def reviews_document(scratch: Path, *, text: str = "text", writes: bool = False) -> FineTune:
    """Training and test reviews, their text in a column of that name, for a tiny encoder, or a decoder that writes."""
    scratch.mkdir(exist_ok=True)
    for name, num_rows in (("train", 60), ("test", 100)):
        write_reviews(scratch / f"{name}.jsonl", num_rows=num_rows)
        content = (scratch / f"{name}.jsonl").read_text().replace('"text":', f'"{text}":')
        (scratch / f"{name}.jsonl").write_text(content)
    if not (scratch / "base").exists():
        (tiny_models.save_decoder if writes else tiny_models.save_encoder)(scratch / "base")
    task = {"type": "causal-lm", "max_new_tokens": 4} if writes else {"type": "text-classification"}
    test = {"test": str(scratch / "test.jsonl")}
    return document(scratch / "base", scratch / "train.jsonl", task={**task, "text": text}, data=test)


def put_model(objects: Objects, run: str, scratch: Path, made_from: FineTune) -> None:
    found = inputs.load(made_from.spec, cache_dir=scratch / "cache")
    torch.manual_seed(1)
    model = load_model(
        found.task.model_class(),
        source=made_from.spec.model.source,
        dtype=torch.float32,
        config_overrides=found.task.config_overrides(found.tokenizer),
    )
    directory = scratch / f"model-{run}"
    directory.mkdir()
    export.save(
        model, model.state_dict(), directory, tokenizer=found.tokenizer, spec=made_from.spec, labels=found.task.labels
    )
    for file in directory.iterdir():
        objects.upload(f"{paths.model(run)}/{file.name}", file)


def registered(objects: Objects, run: str, scratch: Path, said: Said, *, name: str | None = None) -> VersionRecord:
    return register(objects, run, name=name, cache_dir=scratch / "cache", say=said.append, now=LATER)


@pytest.mark.parametrize("storage", ["local", "memory"])
def test_what_a_version_is(tmp_path: Path, said: Said, storage: str) -> None:
    objects = open_storage(str(tmp_path / "storage") if storage == "local" else "memory://")
    run = finished_run(objects, tmp_path)

    record = registered(objects, run.run, tmp_path, said)

    assert registry.read(objects, "test", 1) == record
    assert (record.name, record.version, record.run, record.step) == ("test", 1, run.run, 7)
    assert (record.task, record.method, record.metrics, record.created_at) == (
        "text-classification",
        "full",
        METRICS,
        LATER,
    )
    assert record.document == reviews_document(tmp_path).model_dump(mode="json")
    assert record.lock == runs.read_lock(objects, run.run)
    assert (record.model_source, record.model_sha256) == (str(tmp_path / "base"), "5" * 64)
    assert {file.path for file in record.files} >= {
        "eagleray.json",
        "model.safetensors",
        "tokenizer.json",
        "onnx/model_fp32.onnx",
        "onnx/model_int8.onnx",
    }
    assert set(record.evaluated_on) == {"validation", "test"}
    assert said.warnings == []


def test_a_version_proves_itself(objects: Objects, tmp_path: Path, said: Said) -> None:
    record = registered(objects, finished_run(objects, tmp_path).run, tmp_path, said)
    registry.fetch(objects, record, tmp_path / "fetched")

    rows = registry.golden(objects, record)
    test = [json.loads(line)["text"] for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    assert [row.input for row in rows] == [{"text": test[number * 100 // 64]} for number in range(64)]
    for backend in (TorchBackendSpec(type="torch"), OnnxBackendSpec(type="onnx", precision="int8")):
        model = loaded.load(tmp_path / "fetched", backend=backend, num_threads=1)
        assert model.check_golden(rows) == []
    assert record.onnx["fp32"].max_difference < 1e-5
    assert record.onnx["fp32"].agreement == 1
    assert record.onnx["int8"].max_difference < 0.05
    for file in record.onnx.values():
        assert (tmp_path / "fetched" / file.path).stat().st_size == file.size_bytes


def test_a_model_is_registered_once(objects: Objects, tmp_path: Path, said: Said) -> None:
    run = finished_run(objects, tmp_path, writes=True)
    first = registered(objects, run.run, tmp_path, said)
    said.clear()

    assert registered(objects, run.run, tmp_path, said) == first
    assert said == [f"{run.run} is registered already, as test@1"]
    assert registered(objects, run.run, tmp_path, said, name="other").version == 1
    runs.save(objects, run.model_copy(update={"best_step": 9}))
    assert registered(objects, run.run, tmp_path, said).version == 2


class Full(LocalObjects):
    """A storage that has no room for the record of a version, which is written last."""

    def create(self, key: str, data: bytes) -> bool:
        if key.endswith("version.json"):
            raise StorageError("full")
        return super().create(key, data)


def test_stopped_on_the_way(objects: Objects, tmp_path: Path, said: Said) -> None:
    """The number is lost, nothing else."""
    run = finished_run(objects, tmp_path, writes=True)

    with pytest.raises(StorageError, match="full"):
        registered(Full(tmp_path / "storage", must_exist=True), run.run, tmp_path, said)

    assert registry.versions(objects, "test") == []
    assert registered(objects, run.run, tmp_path, said).version == 2


def test_a_model_that_generates_has_few_golden_rows_and_no_onnx(objects: Objects, tmp_path: Path, said: Said) -> None:
    record = registered(objects, finished_run(objects, tmp_path, writes=True).run, tmp_path, said)

    rows = registry.golden(objects, record)
    assert len(rows) == 8
    assert all(set(row.input) == {"text"} and set(row.output) == {"text"} for row in rows)
    assert record.onnx == {}
    assert said.warnings == []


def rows_of(made_from: FineTune, scratch: Path) -> dict[str, str]:
    return evaluated_on(inputs.load(made_from.spec, cache_dir=scratch / "cache"))


def test_the_rows_that_metrics_are_of(tmp_path: Path) -> None:
    """Neither the order of the rows nor the names of their columns matter; a label does."""
    plain = rows_of(reviews_document(tmp_path / "a"), tmp_path)
    named = rows_of(reviews_document(tmp_path / "b", text="comment"), tmp_path)
    changed = reviews_document(tmp_path / "c")
    test = tmp_path / "c" / "test.jsonl"
    lines = test.read_text().splitlines()
    test.write_text("\n".join(reversed(lines)))
    turned = rows_of(changed, tmp_path)
    test.write_text("\n".join([lines[0].replace('"bad"', '"good"'), *lines[1:]]))
    corrected = rows_of(changed, tmp_path)

    assert set(plain) == {"validation", "test"}
    assert plain == named == turned
    assert corrected["validation"] == plain["validation"]
    assert corrected["test"] != plain["test"]


@pytest.mark.parametrize(
    ("writes", "num_rows", "num_golden", "warnings"),
    [
        pytest.param(False, None, 0, ["no golden set", "no ONNX files"], id="gone"),
        pytest.param(True, 6, 6, ["the data have changed since the run"], id="changed"),
    ],
)
def test_data_that_are_not_what_they_were(
    objects: Objects,
    tmp_path: Path,
    said: Said,
    writes: bool,
    num_rows: int | None,
    num_golden: int,
    warnings: list[str],
) -> None:
    run = finished_run(objects, tmp_path, writes=writes)
    (tmp_path / "test.jsonl").unlink()
    if num_rows is not None:
        write_reviews(tmp_path / "test.jsonl", num_rows=num_rows)

    record = registered(objects, run.run, tmp_path, said)

    assert record.num_golden == num_golden
    assert record.evaluated_on == {}
    assert len(said.warnings) == len(warnings)
    for told, expected in zip(said.warnings, warnings, strict=True):
        assert expected in told


def test_an_onnx_file_that_answers_otherwise(tmp_path: Path, said: Said) -> None:
    """It is not kept. Here PyTorch is said to have answered what it did not."""
    run = new_trained_run(open_storage("memory://"), tmp_path, task={"type": "text-classification"}, labels=("a", "b"))
    model = loaded.load(tmp_path / f"model-{run}", backend=TorchBackendSpec(type="torch"))
    wrong = {"label": "a", "probabilities": {"a": 1.0, "b": 0.0}}
    golden = tuple(GoldenRow(input={"text": text}, output=wrong) for text in ("x", "a fine film"))

    assert onnx_files(model, golden, tmp_path / "files", say=said.append) == {}
    assert list((tmp_path / "files").rglob("*.onnx")) == []
    assert len(said.warnings) == 1
    assert "ONNX Runtime answers otherwise than PyTorch" in said.warnings[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"phase": "running"}, "is running: only the model of a run that succeeded", id="running"),
        pytest.param({"phase": "failed"}, "is failed", id="failed"),
    ],
)
def test_a_run_that_did_not_succeed(
    objects: Objects, tmp_path: Path, said: Said, changes: dict[str, Any], says: str
) -> None:
    run = finished_run(objects, tmp_path, **changes)

    with pytest.raises(UserError, match=says):
        registered(objects, run.run, tmp_path, said)
    assert registry.names(objects) == []


def test_a_run_without_a_model(objects: Objects, tmp_path: Path, said: Said) -> None:
    run = finished_run(objects, tmp_path)
    objects.delete([f"{paths.model(run.run)}/eagleray.json"])

    with pytest.raises(UserError, match="has no final model"):
        registered(objects, run.run, tmp_path, said)


@pytest.mark.models
def test_a_real_encoder(objects: Objects, tmp_path: Path, said: Said) -> None:
    """MiniLM: its ONNX files answer as it does, and int8 is a quarter of the size. A tiny model is nearly all graph."""
    source = demo_packages.require(demo_packages.ENCODER)
    made_from = reviews_document(tmp_path)
    spec = made_from.spec.model_copy(update={"model": made_from.spec.model.model_copy(update={"source": source})})
    run = finished_run(objects, tmp_path, made_from=made_from.model_copy(update={"spec": spec}))

    record = registered(objects, run.run, tmp_path, said)

    assert said.warnings == []
    assert record.onnx["fp32"].max_difference < 1e-5
    assert record.onnx["int8"].max_difference < 0.02
    assert record.onnx["int8"].size_bytes < 0.27 * record.onnx["fp32"].size_bytes
