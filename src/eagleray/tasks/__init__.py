"""What is learned: one file a task, chosen by the `type` of the document's task."""

from __future__ import annotations

from typing import Any

from eagleray.spec.task import MultiTaskSpec, TaskSpec
from eagleray.spec.task.objective import DpoSpec
from eagleray.tasks.base import Batch, Bound, Forward, Row, Sample, Task
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.image_classification import ImageClassification
from eagleray.tasks.masked_lm import MaskedLm
from eagleray.tasks.multi_task import MultiTask
from eagleray.tasks.next_sentence import NextSentence
from eagleray.tasks.preference_lm import PreferenceLm
from eagleray.tasks.question_answering import QuestionAnswering
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.text_classification import TextClassification
from eagleray.tasks.token_classification import TokenClassification

__all__ = ["TASKS", "Batch", "Forward", "Row", "Sample", "Task", "build", "ready"]

TASKS: dict[str, type[Task]] = {
    "text-classification": TextClassification,
    "causal-lm": CausalLm,
    "masked-lm": MaskedLm,
    "next-sentence": NextSentence,
    "image-classification": ImageClassification,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
    "seq2seq": Seq2Seq,
    "multi-task": MultiTask,
}


def build(spec: TaskSpec) -> Task:
    """The task that a document describes: its fields are the document's keys."""
    if isinstance(spec, MultiTaskSpec):
        return MultiTask({member.name: build(member.task) for member in spec.tasks})
    given = {name: getattr(spec, name) for name in type(spec).model_fields if name != "type"}
    objective = given.pop("objective", None)
    if isinstance(objective, DpoSpec):
        return PreferenceLm(**given, beta=objective.beta, chosen=objective.chosen, rejected=objective.rejected)
    return TASKS[spec.type](**given)


def ready(task: Task, *, labels: tuple[str, ...], tokenizer: Any) -> Task:
    """The task as it learns and predicts: with its label set, and what it has to know of its tokenizer."""
    labelled = task.with_labels(labels)
    return labelled.bound_to(tokenizer) if isinstance(labelled, Bound) else labelled
