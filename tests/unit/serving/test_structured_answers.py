"""Spans, answers to questions and written texts: from a trained model's files to what an endpoint says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from eagleray.flow.predict import model_directory
from eagleray.serving import loaded, protocol
from eagleray.serving.loaded import Loaded
from eagleray.spec.endpoint import TorchBackendSpec
from eagleray.spec.task import TaskSpec
from eagleray.store import runs
from eagleray.store.lineage import GoldenRow
from eagleray.store.objects import open_storage
from tests.support import trained_runs

LONG = "a slow film that never ends and says nothing at all " * 12
TAGS = {"type": "token-classification", "overlap": 8}
SPANS = {**TAGS, "format": "spans"}
QUESTIONS = {"type": "question-answering", "overlap": 8}
TEXTS = {"type": "seq2seq", "max_new_tokens": 4}

CASES: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = {
    "words": (TAGS, ("film",), {"words": LONG.split()}),
    "spans": (SPANS, ("film",), {"text": LONG}),
    "question": (QUESTIONS, (), {"question": "what is it?", "context": LONG}),
    "text": (TEXTS, (), {"source": "a film"}),
}


def model_of(directory: Path, name: str) -> Loaded:
    task, labels, _ = CASES[name]
    objects = open_storage(str(directory / "storage"))
    run = trained_runs.new_trained_run(objects, directory, task=task, labels=labels)
    with model_directory(objects, runs.read(objects, run)) as files:
        return loaded.load(files, backend=TorchBackendSpec(type="torch"))


@pytest.mark.parametrize("name", CASES)
def test_answers_are_what_the_endpoint_promises(tmp_path: Path, name: str) -> None:
    """A long input is answered whole, is not refused as too long, and alone as in company."""
    task, _, row = CASES[name]
    spec: TaskSpec = TypeAdapter[TaskSpec](TaskSpec).validate_python(task)
    model = model_of(tmp_path, name)
    asked = protocol.row_type(spec).model_validate(row).model_dump(by_alias=True)

    samples = model.encode([asked, asked])
    answers = model.answer_all(samples)

    assert all(sample["full_length"] <= model.max_length for sample in samples)
    for answer in answers:
        protocol.answer_type(spec).model_validate(answer)
    assert model.check_golden([GoldenRow(input=row, output=answers[0])]) == []
    assert not model.can_be_averaged
    if "spans" in answers[0]:
        text = row.get("text") or " ".join(row["words"])
        assert all(span["text"] == text[span["start"] : span["end"]] for span in answers[0]["spans"])
    if "answer" in answers[0]:
        assert answers[0]["answer"] == LONG[answers[0]["start"] : answers[0]["end"]]


@pytest.mark.parametrize("name", ["words", "question"])
def test_onnx_answers_the_same(tmp_path: Path, name: str) -> None:
    from eagleray.flow import register

    model = model_of(tmp_path, name)
    short = {"words": ["a", "film"]} if name == "words" else {"question": "who?", "context": "a film"}
    rows = [CASES[name][2], short]
    golden = tuple(
        GoldenRow(input=row, output=answer)
        for row, answer in zip(rows, model.answer_all(model.encode(rows)), strict=True)
    )
    told: list[str] = []

    files = register.onnx_files(model, golden, tmp_path, say=told.append)

    assert files["fp32"].max_difference <= register.MAX_FP32_DIFFERENCE, told
    assert files["fp32"].agreement == 1.0
    assert set(files) == {"fp32", "int8"}


def test_openapi_shows_the_answers() -> None:
    shown = [
        protocol.answer_type(TypeAdapter[TaskSpec](TaskSpec).validate_python(task)).model_json_schema()
        for task, _, _ in CASES.values()
    ]

    assert [list(schema["properties"]) for schema in shown] == [
        ["spans", "score"],
        ["spans", "score"],
        ["answer", "start", "end", "score"],
        ["text"],
    ]
    assert list(shown[0]["$defs"]["Span"]["properties"]) == ["start", "end", "label", "text", "score"]
