"""LoRA adapters of tiny models, that nobody trained, as a run writes its final model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from eagleray import methods, tasks
from eagleray.model import export
from eagleray.model.load import load_model, load_tokenizer
from eagleray.spec.finetune import FineTuneSpec

LABELS = ("bad", "good")


def adapter(
    directory: Path, base: Path, task: str, *, seed: int, rank: int = 2, method: dict[str, Any] | None = None
) -> Path:
    """An adapter that has learned something, its own for each seed."""
    document = {
        "model": {"source": str(base)},
        "task": {"type": task},
        "data": {"train": "train.jsonl", "max_length": 32},
        "method": method or {"type": "lora", "rank": rank},
    }
    spec = FineTuneSpec.model_validate_json(json.dumps(document))
    built = tasks.build(spec.task).with_labels(LABELS)
    tokenizer = load_tokenizer(source=str(base))
    torch.manual_seed(seed)
    loaded = load_model(
        built.model_class(), source=str(base), dtype=torch.float32, config_overrides=built.config_overrides(tokenizer)
    )
    model = methods.apply(loaded, spec.method, task=built)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    names = set(export.saved_names(model))
    gathered = {name: tensor for name, tensor in model.state_dict().items() if name in names}
    directory.mkdir()
    export.save(model, gathered, directory, tokenizer=tokenizer, spec=spec, labels=LABELS)
    return directory
