"""What is learned: one file a task, chosen by the `type` of the document's task."""

from __future__ import annotations

from eagleray.spec.task import TaskSpec
from eagleray.tasks.base import Batch, Forward, Row, Sample, Task
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.question_answering import QuestionAnswering
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.text_classification import TextClassification
from eagleray.tasks.token_classification import TokenClassification

__all__ = ["TASKS", "Batch", "Forward", "Row", "Sample", "Task", "build"]

TASKS: dict[str, type[Task]] = {
    "text-classification": TextClassification,
    "causal-lm": CausalLm,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
    "seq2seq": Seq2Seq,
}


def build(spec: TaskSpec) -> Task:
    """The task that a document describes: its fields are the document's keys."""
    return TASKS[spec.type](**{name: getattr(spec, name) for name in type(spec).model_fields if name != "type"})
