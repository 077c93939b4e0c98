"""A model with several heads is saved and loaded again the same, and its encoder is one for transformers."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from eagleray import methods, tasks
from eagleray.errors import ModelSourceError
from eagleray.model import export
from eagleray.model.load import load_model, load_tokenizer
from eagleray.model.multi_head import Head, auto_class
from eagleray.spec.finetune import FineTuneSpec
from eagleray.tasks import trained
from eagleray.tasks.base import Batch, Task
from eagleray.tasks.multi_task import MultiTask, alone
from tests.support import tiny_models

LABELS = ("tone/bad", "tone/good", "names/place")
ROWS = [
    {"task": "tone", "text": "a fine and moving film"},
    {"task": "names", "words": ["the", "capital", "of", "France"]},
    {"task": "tone", "text": "dull"},
]


def spec_of(source: Path, method: dict[str, Any], *, names: tuple[str, str] = ("tone", "names")) -> FineTuneSpec:
    members = [
        {"name": name, "task": {"type": kind}, "data": {"train": "rows.jsonl"}}
        for name, kind in zip(names, ("text-classification", "token-classification"), strict=True)
    ]
    document = {
        "model": {"source": str(source)},
        "task": {"type": "multi-task", "tasks": members},
        "data": {"max_length": 32},
        "method": method,
    }
    return FineTuneSpec.model_validate_json(json.dumps(document))


def ready(spec: FineTuneSpec, tokenizer: Any, labels: tuple[str, ...] = LABELS) -> Task:
    return tasks.ready(tasks.build(spec.task), labels=labels, tokenizer=tokenizer)


def built(spec: FineTuneSpec, task: Task, tokenizer: Any, *, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    return load_model(
        task.model_class(),
        source=spec.model.source,
        dtype=torch.float32,
        config_overrides=task.config_overrides(tokenizer),
    )


def batch_of(task: Task, tokenizer: Any) -> Batch:
    columns = task.encode([task.read_input(row) for row in ROWS], tokenizer, 32)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return task.collate(samples, weights=np.ones(3, dtype=np.float32), pad_id=0, max_length=32)


def answers(task: Task, model: Any, tokenizer: Any) -> list[dict[str, Any]]:
    with torch.inference_mode():
        return task.predict(model, tokenizer, batch_of(task, tokenizer))


def logits(task: Task, model: Any, tokenizer: Any) -> dict[str, torch.Tensor]:
    """What each head says of its rows."""
    assert isinstance(task, MultiTask)
    with torch.inference_mode():
        return {
            name: alone(model, name)(**{key: part[key] for key in ("input_ids", "attention_mask")}).logits
            for name, part in task.parts(batch_of(task, tokenizer)).items()
        }


class Counting:
    """An Auto class that tells how many of the encoders that it has loaded are still there."""

    def __init__(self, model_class: Any, loaded: weakref.WeakSet[Any]) -> None:
        self._class, self._loaded = model_class, loaded
        self.most = 0

    def from_pretrained(self, *args: Any, **options: Any) -> Any:
        model, facts = self._class.from_pretrained(*args, **options)
        self._loaded.add(model.bert)
        gc.collect()
        self.most = len(self._loaded)
        return model, facts


@pytest.mark.parametrize("method", [{"type": "full"}, {"type": "lora", "rank": 2}], ids=["full", "lora"])
def test_what_is_saved_answers_the_same(tmp_path: Path, method: dict[str, Any]) -> None:
    spec = spec_of(tiny_models.save_encoder(tmp_path / "base"), method)
    tokenizer = load_tokenizer(source=spec.model.source)
    task = ready(spec, tokenizer)
    model = methods.apply(built(spec, task, tokenizer), spec.method, task=task).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    directory = tmp_path / "saved"
    directory.mkdir()
    state = model.state_dict()
    weights = {name: state[name] for name in export.saved_names(model)}

    export.save(model, weights, directory, tokenizer=tokenizer, spec=spec, labels=LABELS)

    loaded = trained.load(directory, device=torch.device("cpu"))
    found = answers(loaded.task, loaded.model, tokenizer)
    assert [sorted(answer) for answer in found] == [
        ["label", "probabilities"],
        ["score", "spans"],
        ["label", "probabilities"],
    ]
    expected = logits(task, model, tokenizer)
    assert list(expected) == ["tone", "names"]
    torch.testing.assert_close(logits(loaded.task, loaded.model, tokenizer), expected, atol=1e-5, rtol=0)
    if method["type"] == "full":
        encoder = AutoModel.from_pretrained(directory)
        assert torch.equal(
            encoder.encoder.layer[1].output.dense.weight, model.bert.encoder.layer[1].output.dense.weight
        )
        assert AutoTokenizer.from_pretrained(directory).vocab_size == tokenizer.vocab_size


def test_a_model_of_several_tasks_is_begun_with(tmp_path: Path) -> None:
    """Heads of the same name go on; another name is a new head."""
    spec = spec_of(tiny_models.save_encoder(tmp_path / "base"), {"type": "full"})
    tokenizer = load_tokenizer(source=spec.model.source)
    task = ready(spec, tokenizer)
    model = built(spec, task, tokenizer)
    (tmp_path / "saved").mkdir()
    export.save(model, model.state_dict(), tmp_path / "saved", tokenizer=tokenizer, spec=spec, labels=LABELS)
    other = spec_of(tmp_path / "saved", {"type": "full"}, names=("tone", "places"))
    labels = ("tone/bad", "tone/good", "places/place")

    found = built(other, ready(other, tokenizer, labels), tokenizer, seed=7)

    assert torch.equal(found.tone_classifier.weight, model.tone_classifier.weight)
    assert not torch.equal(found.places_classifier.weight, model.names_classifier.weight)
    assert torch.equal(found.bert.embeddings.word_embeddings.weight, model.bert.embeddings.word_embeddings.weight)


def test_one_encoder_at_most_is_kept_while_another_is_loaded(tmp_path: Path) -> None:
    """The widest, wherever it comes: the head for labels reads a pooler, which the one for tags lacks."""
    source, loaded = tiny_models.save_encoder(tmp_path / "base"), weakref.WeakSet[Any]()
    kinds = (AutoModelForTokenClassification, AutoModelForSequenceClassification, AutoModelForTokenClassification)
    heads = {f"head{number}": Head(Counting(kind, loaded)) for number, kind in enumerate(kinds)}  # type: ignore[arg-type]

    joint, _ = auto_class(heads).from_pretrained(
        source, config=AutoConfig.from_pretrained(source), output_loading_info=True
    )

    assert [head.model_class.most for head in heads.values()] == [1, 2, 2]
    assert list(loaded) == [joint.bert]
    assert joint.bert.pooler is not None


def test_a_model_without_an_encoder_of_its_own_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tiny_models.save_seq2seq(tmp_path / "base"), {"type": "full"})
    tokenizer = load_tokenizer(source=spec.model.source)

    with pytest.raises(ModelSourceError, match="has no encoder that several heads can share: choose one such as BERT"):
        built(spec, ready(spec, tokenizer), tokenizer)
