"""Questions about texts, cut into windows where they are long; answers in characters of the text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.tasks.base import Batch, Row
from eagleray.tasks.question_answering import QuestionAnswering
from tests.support import tiny_models

TOKENIZER = tiny_models.encoder_tokenizer()
TASK = QuestionAnswering(overlap=8)
OR_NONE = QuestionAnswering(unanswerable=True, overlap=8)
CONTEXT = "the capital of France is Paris"
LONG = " ".join(["a slow film that never ends and says nothing at all"] * 6)
RAW = {"question": "what is the capital?", "context": CONTEXT, "answers": {"text": ["Paris"], "answer_start": [25]}}
ROW = {"question": "what is the capital?", "context": CONTEXT, "answers": [{"text": "Paris", "start": 25}]}


def batch_of(task: QuestionAnswering, rows: list[Row], *, max_length: int = 128) -> Batch:
    columns = task.encode(rows, TOKENIZER, max_length)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    weights = np.ones(len(samples), dtype=np.float32)
    return task.collate(samples, weights=weights, pad_id=0, max_length=max_length)


def pointing(batch: Batch, *, sharply: float = 20.0) -> Any:
    """A model that has learned where each window's answer is."""

    def forward(**inputs: torch.Tensor) -> SimpleNamespace:
        begins, finishes = torch.zeros(2, *batch["input_ids"].shape)
        rows = torch.arange(len(batch["first"]))
        begins[rows, batch["first"]] = sharply
        finishes[rows, batch["last"]] = sharply
        return SimpleNamespace(start_logits=begins, end_logits=finishes)

    return forward


# rows


@pytest.mark.parametrize(
    ("task", "raw", "answers"),
    [
        pytest.param(TASK, RAW, ROW["answers"], id="lists"),
        pytest.param(TASK, {**RAW, "answers": [{"text": "Paris", "answer_start": 25}]}, ROW["answers"], id="objects"),
        pytest.param(
            TASK, {**RAW, "answers": '{"text": ["Paris"], "answer_start": [25]}'}, ROW["answers"], id="as-json"
        ),
        pytest.param(OR_NONE, {**RAW, "answers": {"text": [], "answer_start": []}}, [], id="none"),
    ],
)
def test_rows_are_read(task: QuestionAnswering, raw: Row, answers: Any) -> None:
    assert task.read(raw) == {**ROW, "answers": answers}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param({**RAW, "answers": []}, "no answer: set task.unanswerable: true", id="none"),
        pytest.param(
            {**RAW, "answers": [{"text": "Paris", "answer_start": 24}]},
            "'Paris' is not at character 24 of the context: it is at 25",
            id="place",
        ),
        pytest.param(
            {**RAW, "answers": [{"text": "Rome", "answer_start": 0}]}, "it is nowhere in it", id="not-in-the-context"
        ),
        pytest.param({**RAW, "answers": [{"text": "Paris"}]}, "`answer_start`, a whole number", id="no-place"),
        pytest.param({**RAW, "answers": {"text": ["a"], "answer_start": []}}, "of equal length", id="lengths"),
        pytest.param({**RAW, "answers": ["Paris"]}, "SQuAD's answers are", id="texts"),
        pytest.param({**RAW, "question": " "}, "column `question` is empty", id="no-question"),
    ],
)
def test_bad_rows_are_refused(raw: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.read(raw)


# tokens and windows


def test_the_question_stands_in_every_window() -> None:
    row = {"question": "what is it?", "context": LONG, "answers": [{"text": "slow", "start": 2}]}
    batch = batch_of(TASK, [row, ROW], max_length=40)
    question = TOKENIZER("what is it?")["input_ids"]

    assert batch["sample"].tolist()[-1] == 1
    assert len(batch["sample"]) == 4
    assert all(ids[: len(question)].tolist() == question for ids in batch["input_ids"][:-1])
    assert batch["token_type_ids"][0, len(question) + 1] == 1
    assert TASK.num_targets(batch) == 2.0


def test_windows_without_the_answer_point_at_their_first_token() -> None:
    at = LONG.rindex("nothing")
    row = {"question": "what is it?", "context": LONG, "answers": [{"text": "nothing", "start": at}]}
    batch = batch_of(TASK, [row], max_length=40)

    inside = batch["first"] > 0
    assert 0 < int(inside.sum()) < len(inside)
    [number, *_] = inside.nonzero().flatten().tolist()
    first, last = int(batch["first"][number]), int(batch["last"][number])
    assert LONG[int(batch["starts"][number, first]) : int(batch["ends"][number, last])] == "nothing"


def test_a_long_question_leaves_room() -> None:
    columns = TASK.encode([{**ROW, "question": LONG}], TOKENIZER, 32)
    assert columns["num_before"][0] == 16 + 2


# losses, metrics and answers


@pytest.mark.parametrize("max_length", [128, 40])
def test_a_model_that_knows_is_right(max_length: int) -> None:
    at = LONG.rindex("never ends")
    rows = [ROW, {"question": "what of it?", "context": LONG, "answers": [{"text": "never ends", "start": at}]}]
    batch = batch_of(TASK, rows, max_length=max_length)
    loss, logits = TASK.loss(pointing(batch), batch)
    metrics = TASK.new_metrics()
    metrics.update(loss.item(), logits, batch)

    assert loss.item() == pytest.approx(0.0, abs=1e-4)
    assert metrics.compute() == pytest.approx({"loss": 0.0, "exact_match": 1.0, "f1": 1.0}, abs=1e-4)
    verdict = TASK.verdict(logits, batch, 1)
    assert (verdict.label, verdict.answer, verdict.is_wrong) == ("never ends", "never ends", False)
    assert TASK.row_losses(logits, batch).tolist() == pytest.approx([0.0, 0.0], abs=1e-4)  # type: ignore[union-attr]
    first, second = TASK.predict(pointing(batch), TOKENIZER, batch)
    assert first == {"answer": "Paris", "start": 25, "end": 30, "score": pytest.approx(1.0, abs=1e-3)}
    assert second["start"] == at


def test_having_no_answer_is_said() -> None:
    batch = batch_of(OR_NONE, [{**ROW, "answers": []}], max_length=128)
    [answer] = OR_NONE.predict(pointing(batch), TOKENIZER, batch)

    assert answer == {"answer": "", "start": 0, "end": 0, "score": pytest.approx(1.0, abs=1e-3)}


def test_rows_to_predict_need_no_answers() -> None:
    batch = batch_of(TASK, [TASK.read_input({"question": "", "context": ""})])

    def model(**inputs: torch.Tensor) -> SimpleNamespace:
        zeros = torch.zeros(inputs["input_ids"].shape)
        return SimpleNamespace(start_logits=zeros, end_logits=zeros)

    assert TASK.predict(model, TOKENIZER, batch) == [{"answer": "", "start": 0, "end": 0, "score": 0.0}]
