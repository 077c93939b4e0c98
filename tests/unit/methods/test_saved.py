"""What a method has learned answers the same when it is loaded again, by ourselves and by peft or transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from eagleray import methods, tasks
from eagleray.model import description, export
from eagleray.model.bases import Bases
from eagleray.model.load import load_model, load_tokenizer
from eagleray.model.trained import load_trained
from eagleray.spec.finetune import FineTuneSpec
from tests.support import tiny_models

METHODS: dict[str, dict[str, Any]] = {
    "full": {"type": "full"},
    "freeze": {"type": "freeze", "bottom_layers": 1},
    "lora": {"type": "lora", "rank": 2},
    "dora": {"type": "lora", "rank": 2, "decomposed": True},
    "rslora": {"type": "lora", "rank": 4, "rank_stabilized": True, "target_modules": ["all-linear"]},
    "ia3": {"type": "ia3"},
    "p_tuning_v2": {"type": "p_tuning_v2", "num_virtual_tokens": 4},
    "prompt_tuning": {"type": "prompt_tuning", "num_virtual_tokens": 4},
}
TASKS = {"text-classification": ("a", "b"), "causal-lm": ()}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "text-classification": tiny_models.save_encoder(tmp_path_factory.mktemp("bert"), dropout=0.0),
        "causal-lm": tiny_models.save_decoder(tmp_path_factory.mktemp("llama")),
    }


@pytest.mark.parametrize("task_type", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_loads_again(sources: dict[str, Path], tmp_path: Path, method: str, task_type: str) -> None:
    source, labels = sources[task_type], TASKS[task_type]
    document = {
        "model": {"source": str(source)},
        "task": {"type": task_type},
        "data": {"train": "rows.jsonl", "max_length": 32},
        "method": METHODS[method],
    }
    spec = FineTuneSpec.model_validate_json(json.dumps(document))
    task, tokenizer = tasks.build(spec.task).with_labels(labels), load_tokenizer(source=str(source))
    overrides = task.config_overrides(tokenizer)

    def base() -> Any:
        torch.manual_seed(0)
        return load_model(task.model_class(), source=str(source), dtype=torch.float32, config_overrides=overrides)

    model = methods.apply(base(), spec.method, task=task).eval()
    _disturb(model)
    inputs = {"input_ids": torch.arange(5, 15)[None], "attention_mask": torch.ones(1, 10, dtype=torch.int64)}
    expected = model(**inputs).logits
    names = set(export.saved_names(model))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in names}

    export.save(model, weights, tmp_path, tokenizer=tokenizer, spec=spec, labels=labels)

    facts = description.read(tmp_path)
    options = {"model_class": task.model_class(), "config_overrides": overrides, "dtype": torch.float32}
    for bases in (None, Bases()):
        again = load_trained(tmp_path, facts, **options, bases=bases)
        torch.testing.assert_close(again(**inputs).logits, expected)
    assert export.engine_names(model, load_file(export.weights_file(tmp_path))).keys() >= names - _tied(model)
    if isinstance(model, PeftModel):
        torch.testing.assert_close(_answer(PeftModel.from_pretrained(base(), tmp_path), inputs), expected)


def _disturb(model: torch.nn.Module) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)


def _answer(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """What peft says by itself, without the logits of its prompt."""
    logits: torch.Tensor = model.eval()(**inputs).logits
    return logits[:, -10:] if logits.dim() == 3 else logits


def _tied(model: Any) -> set[str]:
    return {"lm_head.weight"} if hasattr(model, "lm_head") else set()
