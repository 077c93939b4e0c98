"""Every task of a document has its builder, and each built task is what the data and the loop take."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from pydantic import TypeAdapter

from eagleray import tasks
from eagleray.data import encoder
from eagleray.spec.task import TaskSpec
from eagleray.tasks.base import Asking, Bound, Comparable, Referring, Writing

DOCUMENTS: dict[str, dict[str, Any]] = {
    "single-label": {"type": "text-classification"},
    "multi-label": {"type": "text-classification", "problem": "multi-label"},
    "regression": {"type": "text-classification", "problem": "regression", "text_pair": "other"},
    "causal-lm text": {"type": "causal-lm"},
    "causal-lm completion": {"type": "causal-lm", "format": "completion"},
    "causal-lm chat": {"type": "causal-lm", "format": "chat"},
    "causal-lm dpo": {"type": "causal-lm", "format": "completion", "objective": {"type": "dpo"}},
    "masked-lm": {"type": "masked-lm"},
    "image-classification": {"type": "image-classification"},
    "image-classification several": {"type": "image-classification", "problem": "multi-label"},
    "next-sentence": {"type": "next-sentence"},
    "next-sentence with masked-lm": {"type": "next-sentence", "format": "pairs", "with_masked_lm": True},
    "tags": {"type": "token-classification"},
    "spans": {"type": "token-classification", "format": "spans", "scheme": "bioes"},
    "question-answering": {"type": "question-answering"},
    "question-answering v2": {"type": "question-answering", "unanswerable": True},
    "seq2seq": {"type": "seq2seq"},
}


def spec_types() -> set[str]:
    union, *_ = typing.get_args(TaskSpec)
    return {typing.get_args(member.model_fields["type"].annotation)[0] for member in typing.get_args(union)}


def test_table_has_the_types_of_the_spec() -> None:
    assert tasks.TASKS.keys() == spec_types()


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_built_task(document: dict[str, Any]) -> None:
    spec: TaskSpec = TypeAdapter[TaskSpec](TaskSpec).validate_python(document)
    task = tasks.build(spec)

    metric, mode = task.main_metric
    assert metric in spec.metric_names
    assert mode in ("max", "min")
    assert task.columns
    assert encoder.fingerprint(task) == encoder.fingerprint(tasks.build(spec))
    column = next(iter({"text", "question", "source", "image"} & set(type(spec).model_fields)))
    assert encoder.fingerprint(task) != encoder.fingerprint(tasks.build(spec.model_copy(update={column: "review"})))
    numbers = {
        name for name, value in task.with_labels(("a", "b")).new_metrics().compute().items() if _is_number(value)
    }
    assert numbers == set(spec.metric_names)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_column_is_not_taken_for_what_a_task_does(document: dict[str, Any]) -> None:
    """Protocols look at names alone, and a column may have any."""
    task = tasks.build(TypeAdapter[TaskSpec](TaskSpec).validate_python(document))

    for kind in (Bound, Referring, Asking, Writing, Comparable):
        if isinstance(task, kind):
            for name, asked in vars(kind).items():
                if isinstance(asked, property):
                    assert getattr(task, name) not in task.columns, name
                elif not name.startswith("_"):
                    assert callable(getattr(task, name)), name
