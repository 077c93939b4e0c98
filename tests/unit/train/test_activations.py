"""What a pass holds, traced without memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from transformers import BertConfig

from eagleray import methods, tasks
from eagleray.model.load import empty_model
from eagleray.spec.method import MethodSpec, PromptTuningSpec, PTuningV2Spec
from eagleray.spec.task import TaskSpec
from eagleray.tasks import preprocessing
from eagleray.tasks.base import Row, Task
from eagleray.tasks.question_answering import QuestionAnswering
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.text_classification import TextClassification
from eagleray.tasks.token_classification import TokenClassification
from eagleray.train import activations
from eagleray.train.activations import Trace
from tests.support import tiny_images, tiny_models


def _loss(forward: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    outputs = forward(batch["inputs"])
    return (outputs * outputs).sum(), outputs


def _trace(rows: int, *, learns: bool = True, width: int = 64) -> Trace:
    with torch.device("meta"):
        inner = [layer for _ in range(2) for layer in (nn.Linear(width, width), nn.Tanh())]
        model = nn.Sequential(nn.Linear(8, width), nn.Tanh(), *inner, nn.Linear(width, 2))
    model[:-1].requires_grad_(learns)
    return activations.trace(model, {"inputs": torch.zeros(rows, 8)}, loss=_loss, attention_drops=False)


def test_rows_lie_on_a_line() -> None:
    two, three, four = (_trace(rows).activations for rows in (20, 30, 40))

    assert three - two == four - three > 0


def test_what_autograd_keeps_is_in_it() -> None:
    kept = 20 * 64 * 4 * 3  # each output of tanh, fp32

    assert kept <= _trace(20).activations <= 4 * kept


def test_a_frozen_layer_keeps_nothing_of_its_inputs() -> None:
    assert _trace(20, learns=False).activations < _trace(20).activations


def test_gradients_of_weights_are_told_apart() -> None:
    found = _trace(20, width=512)

    assert found.with_gradients >= 2 * 512 * 512 * 4
    assert found.activations < 2 * 512 * 512 * 4  # one of both may be on its way


@pytest.mark.parametrize(
    ("task", "row"),
    [
        pytest.param(
            TokenClassification(labels=("film",), overlap=8),
            {"words": ["a", "film"] * 60, "tags": ["O", "B-film"] * 60},
            id="windows",
        ),
        pytest.param(
            QuestionAnswering(overlap=8),
            {"question": "who?", "context": "a film " * 60, "answers": [{"text": "film", "start": 2}]},
            id="answers",
        ),
        pytest.param(Seq2Seq(), {"source": "a film", "target": "dull"}, id="encoder-decoder"),
    ],
)
def test_every_kind_of_model_can_be_traced(task: Task, row: Row) -> None:
    is_pair = isinstance(task, Seq2Seq)
    tokenizer = tiny_models.seq2seq_tokenizer() if is_pair else tiny_models.encoder_tokenizer()
    with torch.device("meta"):
        if is_pair:
            model = tiny_models.seq2seq("t5", vocab_size=len(tokenizer))
        else:
            overrides = task.config_overrides(tokenizer)
            config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, **overrides)
            model = task.model_class().from_config(config)
    columns = task.encode([row, row], tokenizer, 48)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    batch = task.collate(samples, weights=np.ones(2, dtype=np.float32), pad_id=0, max_length=48)

    assert activations.trace(model, batch, loss=task.loss, attention_drops=False).activations > 0


@pytest.mark.parametrize("method", [PTuningV2Spec(type="p_tuning_v2"), PromptTuningSpec(type="prompt_tuning")])
def test_a_learned_prompt_is_traced_too(tmp_path: Path, method: MethodSpec) -> None:
    task = TextClassification("single-label", labels=("a", "b"))
    source = str(tiny_models.save_encoder(tmp_path))
    empty = empty_model(task.model_class(), source=source, dtype=torch.float32, config_overrides={})
    model = methods.apply(empty, method, task=task)
    batch = {"input_ids": torch.ones(4, 8, dtype=torch.int64), "attention_mask": torch.ones(4, 8, dtype=torch.int64)}

    def loss(forward: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        logits = forward(**batch).logits
        return logits.sum(), logits

    assert activations.trace(model, batch, loss=loss, attention_drops=False).activations > 0


WORDS = {"input_ids": [2, 9, 8, 3], "full_length": 4, "num_targets": 2, "unit": [-1, 0, 1, -1], "index": 0}
PAIR = {"target_mask": [0, 1, 1, 1], "rejected_ids": [5, 6], "rejected_mask": [0, 1]}


@pytest.mark.parametrize(
    ("document", "kind", "sample"),
    [
        pytest.param({"type": "masked-lm"}, "encoder", WORDS, id="masked-lm"),
        pytest.param(
            {"type": "next-sentence", "with_masked_lm": True}, "encoder", {**WORDS, "label": 1}, id="next-sentence"
        ),
        pytest.param(
            {"type": "causal-lm", "format": "completion", "objective": {"type": "dpo"}},
            "decoder",
            {**WORDS, **PAIR},
            id="preferences",
        ),
        pytest.param(
            {"type": "image-classification", "labels": ["a", "b"]},
            "images",
            {"pixels": [7] * (3 * tiny_images.SIZE**2), "label": 1, "index": 0},
            id="images",
        ),
    ],
)
def test_tasks_are_traced(document: dict[str, Any], kind: str, sample: dict[str, Any], tmp_path: Path) -> None:
    """Where a loss asks a tensor for its values, nothing can be planned."""
    save = {"encoder": tiny_models.save_encoder, "decoder": tiny_models.save_decoder, "images": tiny_images.save_model}
    source = str(save[kind](tmp_path / "model"))
    spec: TaskSpec = TypeAdapter[TaskSpec](TaskSpec).validate_json(json.dumps(document))
    built = tasks.build(spec)
    tokenizer = preprocessing.load(built, source=source)
    task = tasks.ready(built, labels=built.labels, tokenizer=tokenizer)
    overrides = task.config_overrides(tokenizer)
    model = empty_model(task.model_class(), source=source, dtype=torch.float32, config_overrides=overrides)
    batch = task.collate([sample, sample], weights=np.ones(2, dtype=np.float32), pad_id=0, max_length=8)

    assert activations.trace(model, batch, loss=task.loss, attention_drops=False).activations > 0
