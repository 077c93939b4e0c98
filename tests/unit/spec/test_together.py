"""What a document with several tasks leaves to each, what does not go with several, and where their data are."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document, locations, together
from eagleray.spec.finetune import FineTune
from tests.support import documents

TASK = """{type: multi-task, tasks: [
    {name: tone, task: {type: text-classification}, data: {train: tone.jsonl, validation: {file: some.jsonl}}},
    {name: names, task: {type: token-classification}, data: {train: pkg://a/names.txt, test: names.txt}}]MORE}"""
TWICE = TASK.replace("name: names", "name: tone")
NUMBER = "problem: regression, labels: [a, b]"
ANSWERS = TASK.replace("token-classification", "question-answering")


def loaded(**sections: str) -> FineTune:
    given = {"task": TASK.replace("MORE", ""), "data": "{max_length: 64}"} | sections
    found = document.loads(documents.text(**given), source="a.yaml").document
    assert isinstance(found, FineTune)
    return found


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        pytest.param(
            {"data": "{train: a.csv}"},
            "spec.data.train: each task names its own: write it at task.tasks[0].data.train",
            id="data-of-one",
        ),
        pytest.param(
            {"data": "{augment: {steps: [{type: swap}]}}"},
            "spec.data.augment: is for a document with one task: leave it out",
            id="steps-of-one",
        ),
        pytest.param(
            {"method": "{type: p_tuning_v2}"},
            "spec.method.type: p_tuning_v2 learns a prompt for one task; for several over one encoder use lora",
            id="prompt",
        ),
        pytest.param(
            {"task": TWICE.replace("MORE", "")}, "spec.task.tasks[1].name: another task is called tone", id="names"
        ),
        pytest.param(
            {"task": TASK.replace("MORE", ", mixing: {type: weights, weights: {tone: 1}}")},
            "spec.task.mixing.weights: names tone: give each of tone, names its part",
            id="weights",
        ),
        pytest.param(
            {"task": ANSWERS.replace("MORE", ""), "train": "{label_smoothing: 0.1}"},
            "spec.train.label_smoothing: has no meaning for task.tasks[1] (names): leave it out",
            id="smooth-answers",
        ),
        pytest.param(
            {"task": TASK.replace("MORE", "").replace("text-classification", f"text-classification, {NUMBER}")},
            "spec.task.tasks[0].task.labels: have no meaning for regression: leave them out",
            id="labels-of-numbers",
        ),
        pytest.param(
            {"task": TASK.replace("MORE", "").replace("train: tone.jsonl, ", "")},
            "spec.task.tasks[0].data.train: required and missing",
            id="no-rows",
        ),
        pytest.param(
            {"task": TASK.replace("MORE", "").replace("test: names.txt", "test: names.txt, test_fraction: 0.1")},
            "spec.task.tasks[1].data.test_fraction: `test` and `test_fraction` exclude each other",
            id="two-tests",
        ),
        pytest.param(
            {"task": TASK.replace("MORE", "").replace("text-classification", "text-classification, text: task")},
            "spec.task.tasks[0].task: its rows have a column `task`, which says the task of a row",
            id="selector",
        ),
        pytest.param(
            {"task": TASK.replace("MORE", "").replace("type: token-classification", "type: masked-lm")},
            'spec.task.tasks[1].task.type: unknown type, expected one of "text-classification"',
            id="another-head",
        ),
        pytest.param(
            {"checkpoint": "{best_by: {metric: f1_macro, mode: max}}"},
            "`f1_macro` is not reported by this task, which reports mean, loss, tone/loss",
            id="metric",
        ),
        pytest.param(
            {
                "metrics": "[{name: cost, type: function, source: 'mine.py:cost'}]",
                "train": "{early_stopping: {metric: cost, mode: min}}",
            },
            "spec.metrics: are for a document with one task: leave them out",
            id="own-metric",
        ),
    ],
)
def test_what_does_not_go_with_several_tasks(sections: dict[str, str], expected: str) -> None:
    with pytest.raises(DocumentError) as raised:
        loaded(**sections)
    assert expected in str(raised.value)


@pytest.mark.parametrize("metric", ["mean", "tone/f1_macro", "names/f1_micro"])
def test_metrics_of_each_and_of_all_rank_checkpoints(metric: str) -> None:
    loaded(checkpoint=f"{{best_by: {{metric: {metric}, mode: max}}}}")


def test_paths_of_each_task_are_read_against_the_folder_of_the_document() -> None:
    found = locations.absolute(loaded(), Path("/jobs"))

    assert together.sources(found.spec.task) == {
        "spec.task.tasks[0].data.train": "/jobs/tone.jsonl",
        "spec.task.tasks[0].data.validation.file": "/jobs/some.jsonl",
        "spec.task.tasks[1].data.train": "pkg://a/names.txt",
        "spec.task.tasks[1].data.test": "/jobs/names.txt",
    }
    assert found.spec.data.train is None


def test_survives_a_round_trip() -> None:
    found = loaded()

    assert document.loads(document.dump(found), source="a.yaml").document == found
