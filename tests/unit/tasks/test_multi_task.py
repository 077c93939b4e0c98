"""Several tasks over one encoder: each learns and answers as it would alone, and none is left out of a batch."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from transformers import PreTrainedModel

from eagleray import methods, tasks
from eagleray.data.mixed import NUMBER
from eagleray.flow import register
from eagleray.model.load import load_model
from eagleray.spec.method import LoraSpec
from eagleray.spec.task import TaskSpec
from eagleray.tasks.base import Batch, Sample
from eagleray.tasks.multi_task import MultiTask, alone
from eagleray.train import targets
from tests.support import tiny_models

TOKENIZER = tiny_models.encoder_tokenizer()
DATA = {"train": "rows.jsonl"}
DOCUMENT = {
    "type": "multi-task",
    "tasks": [
        {"name": "tone", "task": {"type": "text-classification"}, "data": DATA},
        {"name": "names", "task": {"type": "token-classification", "overlap": 2}, "data": DATA},
        {"name": "facts", "task": {"type": "question-answering"}, "data": DATA},
    ],
}
TONE = {"text": "a fine and moving film", "label": "good"}
NAMES = {"words": ["the", "capital", "of", "France", "is", "Paris"], "tags": ["O", "O", "O", "B-place", "O", "B-place"]}
FACTS = {
    "question": "what is the capital of France?",
    "context": "the capital of France is Paris.",
    "answers": {"text": ["Paris"], "answer_start": [25]},
}
LABELS = ("tone/bad", "tone/good", "names/place")

SPEC: TaskSpec = TypeAdapter[TaskSpec](TaskSpec).validate_json(json.dumps(DOCUMENT))


@pytest.fixture(scope="module")
def task() -> MultiTask:
    found = tasks.ready(tasks.build(SPEC), labels=LABELS, tokenizer=TOKENIZER)
    assert isinstance(found, MultiTask)
    return found


@pytest.fixture(scope="module")
def model(task: MultiTask, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    source = tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"), dropout=0.0)
    torch.manual_seed(0)
    return load_model(
        task.model_class(),
        source=str(source),
        dtype=torch.float32,
        config_overrides=task.config_overrides(TOKENIZER),
    ).eval()


def own_model(task: MultiTask, model: PreTrainedModel, name: str) -> PreTrainedModel:
    """The model that transformers has for one of the tasks, with the weights of the one for all."""
    config = copy.deepcopy(model.config)
    config.update(task.overrides[name])
    single = task.members[name].model_class().from_config(config, attn_implementation="sdpa")
    weights = model.state_dict()
    single.load_state_dict(
        {key: weights[key if key.startswith("bert.") else f"{name}_{key}"] for key in single.state_dict()}
    )
    return single.eval()


def samples_of(task: MultiTask, *raws: tuple[str, dict[str, Any]]) -> list[Sample]:
    rows = [task.read({"task": name, **raw}) for name, raw in raws]
    columns = task.encode(rows, TOKENIZER, 32)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def batch_of(task: MultiTask, samples: list[Sample]) -> Batch:
    return task.collate(samples, weights=np.ones(len(samples), dtype=np.float32), pad_id=0, max_length=32)


MIXED = [("names", NAMES), ("tone", TONE), ("facts", FACTS), ("tone", {"text": "dull", "label": "bad"})]


def test_labels_stand_behind_the_name_of_their_task(task: MultiTask) -> None:
    assert task.labels == LABELS
    assert task.members["tone"].labels == ("bad", "good")
    assert task.with_labels(task.labels).labels == LABELS


def test_each_task_learns_what_it_would_learn_alone(task: MultiTask, model: PreTrainedModel) -> None:
    """The loss of a mixed batch is the sum of those of each task's own model."""
    batch = batch_of(task, samples_of(task, *MIXED))

    found, _ = task.loss(model, batch)

    own = {
        name: task.members[name].loss(own_model(task, model, name), part)[0] for name, part in task.parts(batch).items()
    }
    assert own.keys() == task.members.keys()
    assert found.item() == pytest.approx(sum(each.item() for each in own.values()), rel=1e-5)


@pytest.mark.parametrize("with_types", [False, True])
@pytest.mark.parametrize("name", ["tone", "names", "facts"])
def test_a_head_says_what_the_model_of_its_own_class_says(
    task: MultiTask, model: PreTrainedModel, name: str, with_types: bool
) -> None:
    part = task.parts(batch_of(task, samples_of(task, *MIXED)))[name]
    inputs = {key: part[key] for key in ("input_ids", "attention_mask")}
    if with_types:
        inputs["token_type_ids"] = (
            (torch.arange(inputs["input_ids"].shape[1]) > 2).long().expand_as(inputs["input_ids"])
        )

    with torch.inference_mode():
        found, expected = alone(model, name)(**inputs), own_model(task, model, name)(**inputs)

    assert type(found) is type(expected)
    torch.testing.assert_close(dict(found), dict(expected), atol=1e-6, rtol=0)


def test_a_task_without_rows_gets_gradients_of_zero(task: MultiTask, model: PreTrainedModel) -> None:
    """Workers add up gradients in one order: a head that one of them left out would shift those of the others."""
    model.zero_grad()
    loss, _ = task.loss(model, batch_of(task, samples_of(task, ("tone", TONE))))
    loss.backward()

    assert model.tone_classifier.weight.grad.abs().sum() > 0
    for head in (model.names_classifier, model.facts_qa_outputs):
        assert head.weight.grad.abs().sum() == 0


def test_the_loss_of_a_step_is_the_mean_of_the_tasks_means(task: MultiTask, model: PreTrainedModel) -> None:
    """Three words of a name count no more than a label: however a step's rows are cut into batches."""
    samples = samples_of(task, *MIXED)
    expected = sum(
        len([sample for sample in samples if sample[NUMBER] == number])
        / len(samples)
        * task.members[name].loss(alone(model, name), part)[0].item()
        / task.members[name].num_targets(part)
        for number, (name, part) in enumerate(task.parts(batch_of(task, samples)).items())
    )
    for cut in ([samples], [samples[:1], samples[1:]], [samples[:3], samples[3:]]):
        batches = [batch_of(task, each) for each in cut]
        totals = [sum(each) for each in zip(*(targets.counts(task, [batch]) for batch in batches), strict=True)]

        scaled, divisor = targets.settled(task, batches, totals)

        assert sum(task.loss(model, batch)[0].item() for batch in scaled) / divisor == pytest.approx(expected, rel=1e-5)
    assert len(targets.counts(task, [])) == len(totals)


def test_answers_come_in_the_order_of_the_rows(task: MultiTask, model: PreTrainedModel) -> None:
    rows = [{"task": name, **raw} for name, raw in MIXED]
    columns = task.encode([task.read_input(row) for row in rows], TOKENIZER, 32)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    answers = task.predict(model, TOKENIZER, batch_of(task, samples))

    assert [sorted(answer)[0] for answer in answers] == ["score", "label", "answer", "label"]


@pytest.mark.parametrize(
    ("name", "raw", "question"),
    [
        pytest.param("tone", TONE, {"text": TONE["text"]}, id="label"),
        pytest.param("names", NAMES, {"words": NAMES["words"]}, id="words"),
        pytest.param(
            "facts", FACTS, {"question": FACTS["question"], "context": FACTS["context"]}, id="question-and-context"
        ),
    ],
)
def test_a_row_as_a_caller_asks_it(task: MultiTask, name: str, raw: dict[str, Any], question: dict[str, Any]) -> None:
    row = task.read({"task": name, **raw})
    assert register.asked(task, row, SPEC) == {"task": name, **question}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param({"text": "a"}, "column `task` is missing: it says which task a row is for", id="no-task"),
        pytest.param({"task": "mood", "text": "a"}, "column `task` holds 'mood'", id="another-task"),
        pytest.param({"task": "tone"}, "column `text` is missing", id="columns-of-the-task"),
    ],
)
def test_rows_that_no_task_answers(task: MultiTask, raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.read_input(raw)


def test_metrics_of_each_and_their_mean(task: MultiTask) -> None:
    found = {
        "tone": {"loss": 1.0, "f1_macro": 0.5},
        "names": {"loss": 3.0, "f1_micro": 0.1, "per_class": {}},
        "facts": {"loss": 2.0, "f1": 0.3},
    }
    measured = task.measured(found, {"tone": 0.5, "names": 0.25, "facts": 0.25})

    assert measured["mean"] == pytest.approx(0.3)
    assert measured["loss"] == pytest.approx(1.75)
    assert measured["names/f1_micro"] == 0.1


def test_adapters_learn_in_the_encoder_and_heads_whole(task: MultiTask, model: PreTrainedModel) -> None:
    adapted = methods.apply(model, LoraSpec(type="lora", rank=2), task=task)
    learning = {name for name, weight in adapted.named_parameters() if weight.requires_grad}

    assert any("bert.encoder.layer.1" in name and "lora_A" in name for name in learning)
    assert any("names_classifier.modules_to_save" in name for name in learning)
    loss, _ = task.loss(adapted, batch_of(task, samples_of(task, *MIXED)))
    loss.backward()
    assert all(weight.grad is not None for weight in adapted.parameters() if weight.requires_grad)
