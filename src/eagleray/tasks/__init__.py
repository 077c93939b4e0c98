"""What is learned: one file a task, chosen by the `type` of the document's task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eagleray.spec.task import CausalLmSpec, TaskSpec, TextClassificationSpec
from eagleray.tasks.base import Batch, Forward, Row, Sample, Task
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.text_classification import TextClassification

__all__ = ["TASKS", "Batch", "Forward", "Row", "Sample", "Task", "build"]


def build(spec: TaskSpec) -> Task:
    """The task that a document describes."""
    return TASKS[spec.type](spec)


def _text_classification(spec: TextClassificationSpec) -> Task:
    return TextClassification(
        problem=spec.problem,
        text=spec.text,
        text_pair=spec.text_pair,
        label=spec.label,
        labels=spec.labels,
        label_separator=spec.label_separator,
    )


def _causal_lm(spec: CausalLmSpec) -> Task:
    return CausalLm(
        format=spec.format,
        text=spec.text,
        prompt=spec.prompt,
        completion=spec.completion,
        messages=spec.messages,
        max_new_tokens=spec.max_new_tokens,
    )


TASKS: dict[str, Callable[[Any], Task]] = {
    "text-classification": _text_classification,
    "causal-lm": _causal_lm,
}
