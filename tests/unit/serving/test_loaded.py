"""A model in memory reads rows, also of several threads at once, answers them and knows its golden set."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.serving import loaded
from eagleray.serving.loaded import Loaded
from eagleray.spec.endpoint import BackendSpec, OnnxBackendSpec, TorchBackendSpec, VllmBackendSpec
from eagleray.store.lineage import GoldenRow
from eagleray.store.objects import open_storage
from tests.support.onnx_models import save_classifier
from tests.support.trained_runs import new_trained_run

TORCH = TorchBackendSpec(type="torch")
TEXTS = ["a fine film", "x", "a mess of a plot that never ends", "", "好 🙂"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def model(directory: Path) -> Loaded:
    return loaded.load(directory, backend=TORCH)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A model that continues texts by up to 40 tokens."""
    scratch = tmp_path_factory.mktemp("writer")
    run = new_trained_run(open_storage("memory://"), scratch, task={"type": "causal-lm", "max_new_tokens": 40})
    return loaded.load(scratch / f"model-{run}", backend=TORCH)


def golden(model: Loaded) -> list[GoldenRow]:
    rows = [{"text": text} for text in TEXTS]
    return [
        GoldenRow(input=row, output=answer)
        for row, answer in zip(rows, model.answer_all(model.encode(rows)), strict=True)
    ]


def test_the_length_before_the_cut(model: Loaded) -> None:
    short, long = model.encode([{"text": "x"}, {"text": "x " * 200}])

    assert short["full_length"] == len(short["input_ids"]) < model.max_length
    assert long["full_length"] > len(long["input_ids"]) == model.max_length == 64


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        pytest.param([{"text": "x"}, {"txt": "x"}], "column `text` is missing", id="missing"),
        pytest.param([{"text": ["x"]}], "column `text` holds list: text is needed", id="no text"),
    ],
)
def test_a_malformed_row(model: Loaded, rows: list[Mapping[str, Any]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        model.encode(rows)


def test_no_rows(model: Loaded) -> None:
    assert model.answer_all(model.encode([])) == []
    assert model.check_golden([]) == []


def test_order_does_not_depend_on_batches(model: Loaded) -> None:
    samples = model.encode({"text": text} for text in TEXTS)
    alone = [model.answer([sample])[0] for sample in samples]

    for batch_size in (2, 32):
        answers = model.answer_all(samples, batch_size=batch_size)
        assert [answer["label"] for answer in answers] == [answer["label"] for answer in alone]
        for found, expected in zip(answers, alone, strict=True):
            assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=2e-6)


def test_several_threads_read_at_once(model: Loaded) -> None:
    """Texts that are cut and texts that are not: that changes what the tokenizer keeps between calls."""
    rows = [{"text": "x " * (200 if number % 2 else 3)} for number in range(8)]
    expected = model.encode(rows)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: model.encode([rows[number % 8]])[0], range(800)))

    assert found == expected * 100


@pytest.mark.parametrize(
    "backend",
    [
        TORCH,
        TorchBackendSpec(type="torch", dtype="bf16"),
        *(OnnxBackendSpec(type="onnx", precision=p) for p in ("fp32", "int8")),
    ],
    ids=["torch", "torch bf16", "onnx", "onnx int8"],
)
def test_golden_rows(directory: Path, model: Loaded, backend: BackendSpec) -> None:
    rows = golden(model)
    wrong = rows[0].output["probabilities"]
    turned = {"label": min(wrong, key=wrong.__getitem__), "probabilities": {"bad": 0.01, "good": 0.99}}
    if turned["label"] == "bad":
        turned["probabilities"] = {"bad": 0.99, "good": 0.01}
    served = loaded.load(directory, backend=backend, num_threads=1)

    assert served.check_golden(rows) == []
    assert served.check_golden([*rows, GoldenRow(input=rows[0].input, output=turned)]) == [
        f"row 6: label {rows[0].output['label']!r} instead of {turned['label']!r}"
    ]


def test_golden_texts(writer: Loaded) -> None:
    """Their beginning is made and compared, not all of it."""
    rows = golden(writer)
    # A random model says bytes that are no characters where the prompt is strange.
    readable = [row for row in rows if not row.output["text"].startswith("\ufffd")]
    changed = [row.model_copy(update={"output": {"text": "?" + row.output["text"]}}) for row in readable]

    assert writer.generates
    assert writer.max_new_tokens == 40
    assert writer.check_golden(rows) == []
    assert len(writer.check_golden(changed)) == len(readable) > 2


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        pytest.param(OnnxBackendSpec(type="onnx"), "registered without ONNX files", id="onnx"),
        pytest.param(VllmBackendSpec(type="vllm"), "Ray Serve loads such a model itself", id="vllm"),
    ],
)
def test_a_backend_that_does_not_run_it(tmp_path: Path, backend: BackendSpec, says: str) -> None:
    run = new_trained_run(open_storage("memory://"), tmp_path, task={"type": "text-classification"}, labels=("a", "b"))

    with pytest.raises(UserError, match=says):
        loaded.load(tmp_path / f"model-{run}", backend=backend)


def test_only_torch_has_the_model(directory: Path, model: Loaded) -> None:
    assert model.trained.task == model.task
    with pytest.raises(UserError, match="use `backend:"):
        loaded.load(directory, backend=OnnxBackendSpec(type="onnx")).trained  # noqa: B018


@pytest.mark.parametrize("task_type", ["text-classification", "causal-lm"])
def test_texts_are_cleaned_as_those_that_it_learned_from(tmp_path: Path, task_type: str) -> None:
    task = {"type": task_type}
    clean = {"html": True, "whitespace": True, "urls": "replace", "duplicates": "exact"}
    labels = ("bad", "good") if task_type == "text-classification" else ()
    run = new_trained_run(open_storage("memory://"), tmp_path, task=task, labels=labels, clean=clean)
    model = loaded.load(tmp_path / f"model-{run}", backend=TORCH)

    raw, same = model.encode([{"text": " <b>a fine</b>\n film www.a.b"}, {"text": "a fine film [URL]"}])

    assert raw == same
    assert model.cleaned({"prompt": "<i>x</i> "}) == ({"prompt": "x"} if labels == () else {"prompt": "<i>x</i> "})


def test_a_model_without_cleaning_takes_texts_as_they_are(model: Loaded) -> None:
    assert model.read({"text": " <b>x</b> "}) == {"text": " <b>x</b> "}
