"""What a teacher's answer makes of a row, and how the row is asked about and learned from."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from eagleray.flow import labelling
from eagleray.flow.labelling import Labelled
from eagleray.spec.task import TaskSpec, TextClassificationSpec

SPAN = {"start": 3, "end": 8, "label": "place"}
TWO_WORDS = {"words": ["in", "New", "York"]}
IN_NEW_YORK = {"spans": [{**SPAN, "end": 11, "text": "New York", "score": 0.9}], "score": 0.7}


def task_of(**fields: Any) -> TaskSpec:
    made: TaskSpec = TypeAdapter(TaskSpec).validate_python(fields, strict=False)
    return made


@pytest.mark.parametrize(
    ("task", "row", "question", "answer", "expected"),
    [
        pytest.param(
            {"type": "text-classification", "text": "title", "text_pair": "body"},
            {"text": "a", "text_pair": "b"},
            {"title": "a", "body": "b"},
            {"label": "good", "probabilities": {"good": 0.8, "bad": 0.2}},
            Labelled({"label": "good", "probabilities": {"bad": 0.2, "good": 0.8}}, 1, 0.8),
            id="one label",
        ),
        pytest.param(
            {"type": "token-classification", "words": "tokens"},
            TWO_WORDS,
            {"tokens": TWO_WORDS["words"]},
            IN_NEW_YORK,
            Labelled({"tags": ["O", "B-place", "I-place"]}, 0, 0.7),
            id="tags",
        ),
        pytest.param(
            {"type": "token-classification", "scheme": "bioes"},
            TWO_WORDS,
            TWO_WORDS,
            IN_NEW_YORK,
            Labelled({"tags": ["O", "B-place", "E-place"]}, 0, 0.7),
            id="another scheme",
        ),
        pytest.param(
            {"type": "token-classification", "scheme": "none"},
            {"words": ["go", "on"]},
            {"words": ["go", "on"]},
            {
                "spans": [{"start": 0, "end": 2, "label": "verb"}, {"start": 3, "end": 5, "label": "adverb"}],
                "score": 0.6,
            },
            Labelled({"tags": ["verb", "adverb"]}, 0, 0.6),
            id="a tag a word",
        ),
        pytest.param(
            {"type": "token-classification", "scheme": "none"},
            {"words": ["go", "\u200b"]},
            {"words": ["go", "\u200b"]},
            {"spans": [{"start": 0, "end": 2, "label": "verb"}], "score": 0.9},
            Labelled({"tags": ["verb", "O"]}, 0, 0.0),
            id="a word that got no tag",
        ),
        pytest.param(
            {"type": "token-classification", "format": "spans", "text": "body"},
            {"text": "in Paris"},
            {"body": "in Paris"},
            {"spans": [{**SPAN, "text": "Paris", "score": 0.9}], "score": 0.7},
            Labelled({"spans": [SPAN]}, 0, 0.7),
            id="spans",
        ),
        pytest.param(
            {"type": "token-classification", "format": "spans"},
            {"text": "nowhere"},
            {"text": "nowhere"},
            {"spans": [], "score": 0.99},
            Labelled({"spans": []}, 1, 0.99),
            id="no entity",
        ),
    ],
)
def test_labelled(
    task: dict[str, Any], row: dict[str, Any], question: dict[str, Any], answer: dict[str, Any], expected: Labelled
) -> None:
    teaches = labelling.of(task_of(**task), labels=("bad", "good"))

    said = teaches.labelled(row, answer)

    assert teaches.question(row) == question
    assert said == expected
    assert teaches.number({**row, **said.columns}) == said.number
    assert teaches.column in said.columns


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        pytest.param(
            {"type": "text-classification", "text": "title", "label": "kind"},
            {"text": "text", "text_pair": None, "label": "label", "probabilities": "probabilities"},
            id="one label",
        ),
        pytest.param(
            {"type": "token-classification", "words": "tokens", "tags": "ner"},
            {"words": "words", "tags": "tags"},
            id="tags",
        ),
        pytest.param(
            {"type": "token-classification", "format": "spans", "text": "body", "spans": "entities"},
            {"text": "text", "spans": "spans"},
            id="spans",
        ),
    ],
)
def test_the_student_reads_what_was_written(task: dict[str, Any], columns: dict[str, Any]) -> None:
    given = task_of(**task)

    student = labelling.of(given, labels=("a", "b")).student(given, labels=("a", "b"), is_soft=True)

    assert student.labels == ("a", "b")  # type: ignore[union-attr]
    assert {name: getattr(student, name) for name in columns} == columns


def test_a_student_of_hard_labels_reads_no_probabilities() -> None:
    given = task_of(type="text-classification")

    student = labelling.of(given, labels=()).student(given, labels=(), is_soft=False)

    assert isinstance(student, TextClassificationSpec)
    assert student.probabilities is None
