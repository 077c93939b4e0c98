"""Registered versions of tiny models that answer: what an endpoint serves in tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from eagleray import tasks
from eagleray.model import export
from eagleray.model.load import load_model, load_tokenizer
from eagleray.serving import loaded
from eagleray.spec.endpoint import TorchBackendSpec
from eagleray.spec.finetune import FineTune
from eagleray.store import registry
from eagleray.store.objects import Objects
from eagleray.store.registry import GoldenRow, VersionRecord
from tests.support import tiny_models
from tests.support.records import LOCK, NOW

CLASSIFY: dict[str, Any] = {"type": "text-classification"}
CONTINUE: dict[str, Any] = {"type": "causal-lm", "max_new_tokens": 8}
LABELS = ("bad", "good")
TEXTS = ("a joy to watch", "dull and far too long", "fine")


def new_version(
    objects: Objects,
    scratch: Path,
    *,
    name: str = "films",
    task: dict[str, Any] = CLASSIFY,
    labels: Sequence[str] = LABELS,
    seed: int = 0,
    alias: str | None = None,
    golden: Sequence[GoldenRow] | None = None,
) -> VersionRecord:
    """Register a tiny random model; `alias` is given to it. `golden` left out: what it really answers."""
    is_text = task["type"] == "causal-lm"
    base = scratch / f"base-{task['type']}"
    if not base.exists():
        (tiny_models.save_decoder if is_text else tiny_models.save_encoder)(base)
    version = registry.claim(objects, name)
    directory = scratch / f"{name}-{version}"
    document = _document(name, base, task)
    _save(document, directory, labels=() if is_text else tuple(labels), seed=seed)
    model = loaded.load(directory, backend=TorchBackendSpec(type="torch"))
    if golden is None:
        golden = _answered(model, "prompt" if task.get("format") == "completion" else "text")
    registry.put_golden(objects, name, version, golden)
    files = [each for each in sorted(directory.rglob("*")) if each.is_file()]
    record = VersionRecord(
        name=name,
        version=version,
        run=f"{name}-{version:04d}",
        step=10,
        task=task["type"],
        method="full",
        created_at=NOW,
        document=document.model_dump(mode="json"),
        lock=LOCK,
        model_source=str(base),
        model_sha256="",
        files=tuple(
            registry.put_file(objects, name, version, each.relative_to(directory).as_posix(), each) for each in files
        ),
        num_golden=len(golden),
    )
    registry.commit(objects, record)
    if alias is not None:
        promote(objects, name, version, alias=alias)
    return record


def promote(objects: Objects, name: str, version: int, *, alias: str = "champion") -> None:
    """Give a version an alias."""
    change = registry.aliases(objects, name).get(alias)
    seen = change.number if change else 0
    registry.point(objects, name, alias, version, action="promote", by="a test", reason="", seen=seen, now=NOW)


def _document(name: str, base: Path, task: dict[str, Any]) -> FineTune:
    spec = {"model": {"source": str(base)}, "task": task, "data": {"train": "x.jsonl", "max_length": 64}}
    return FineTune.model_validate_json(json.dumps({"kind": "FineTune", "metadata": {"name": name}, "spec": spec}))


def _save(document: FineTune, directory: Path, *, labels: tuple[str, ...], seed: int) -> None:
    spec = document.spec
    task = tasks.build(spec.task).with_labels(labels)
    tokenizer = load_tokenizer(source=spec.model.source)
    torch.manual_seed(seed)
    model = load_model(
        task.model_class(),
        source=spec.model.source,
        dtype=torch.float32,
        config_overrides=task.config_overrides(tokenizer),
    )
    directory.mkdir()
    export.save(model, model.state_dict(), directory, tokenizer=tokenizer, spec=spec, labels=labels)


def _answered(model: loaded.Loaded, column: str) -> list[GoldenRow]:
    rows = [{column: text} for text in TEXTS]
    answers = model.answer_all(model.encode(rows))
    return [GoldenRow(input=row, output=answer) for row, answer in zip(rows, answers, strict=True)]
