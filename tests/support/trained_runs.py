"""Runs with a final model that nobody trained: what `predict` finds on the storage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from eagleray import tasks
from eagleray.model import export
from eagleray.model.load import load_model, load_tokenizer
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store import paths
from eagleray.store.objects import Objects
from tests.support import tiny_models
from tests.support.records import new_run


def new_trained_run(
    objects: Objects,
    scratch: Path,
    *,
    task: dict[str, Any],
    labels: Sequence[str] = (),
    name: str = "films",
    seed: int = 0,
    clean: Mapping[str, Any] | None = None,
) -> str:
    """A succeeded run with a tiny random model, which wants its texts cleaned by the options of `clean`; the id."""
    base = scratch / "base"
    if not base.exists():
        saves = {"causal-lm": tiny_models.save_decoder, "seq2seq": tiny_models.save_seq2seq}
        saves.get(task["type"], tiny_models.save_encoder)(base)
    data: dict[str, Any] = {"max_length": 64, "clean": dict(clean or {})}
    if task["type"] != "multi-task":  # whose tasks name their own
        data["train"] = "x.jsonl"
    document = {"model": {"source": str(base)}, "task": task, "data": data}
    spec = FineTuneSpec.model_validate_json(json.dumps(document))
    built = tasks.build(spec.task).with_labels(tuple(labels))
    tokenizer = load_tokenizer(source=str(base))
    torch.manual_seed(seed)
    model = load_model(
        built.model_class(), source=str(base), dtype=torch.float32, config_overrides=built.config_overrides(tokenizer)
    )
    run = new_run(objects, name=name).run
    directory = scratch / f"model-{run}"
    directory.mkdir()
    export.save(model, model.state_dict(), directory, tokenizer=tokenizer, spec=spec, labels=tuple(labels))
    for file in directory.iterdir():
        objects.upload(f"{paths.model(run)}/{file.name}", file)
    return run
