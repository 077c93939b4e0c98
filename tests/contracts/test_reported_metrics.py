"""The metrics that documents may name are those that the tasks report."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from eagleray import tasks
from eagleray.spec.reported import metric_names
from eagleray.spec.task import TaskSpec

TASK: TypeAdapter[TaskSpec] = TypeAdapter(TaskSpec)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "text-classification", "problem": "single-label"},
        {"type": "text-classification", "problem": "multi-label"},
        {"type": "text-classification", "problem": "regression"},
        {"type": "causal-lm"},
    ],
    ids=lambda spec: spec.get("problem", spec["type"]),
)
def test_same_names(spec: dict[str, str]) -> None:
    task = TASK.validate_python(spec)

    assert metric_names(task) == tasks.build(task).metric_names
