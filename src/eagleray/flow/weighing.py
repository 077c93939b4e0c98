"""What does the model of a document weigh? Reckoned once for each model, method and batch, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import eagleray
from eagleray.model import sources
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store import cache, durable
from eagleray.train.budget import Packed, Pass
from eagleray.train.inputs import Inputs

KIND = "plans"
_DECIDING = {"precision", "gradient_checkpointing", "loss", "label_smoothing", "r_drop", "dropout", "attention_dropout"}
_PACKAGES = ("torch", "transformers", "peft")

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Weighed:
    """A model as it learns."""

    parameters: int  # tied ones once
    learning: int
    packed: Packed | None  # those of them that are held in fewer bits
    passes: tuple[Pass, ...]  # over each of the batches
    answer_bytes: int = 0  # the most that the frozen model holds as it runs once over the data


def weigh(
    spec: FineTuneSpec,
    loaded: Inputs,
    batches: tuple[Batch, ...],
    *,
    frozen: Batch | None,
    on_cpu: bool,
    cache_dir: Path,
) -> Weighed:
    """Count the weights and trace a pass over each batch, or find what an earlier plan has found.

    `frozen` is a batch of the frozen model, where its features are cached.

    Raises:
        UserError: the model or the method cannot work as they are.
    """
    key = _key(spec, loaded, (*batches, frozen or {}), on_cpu=on_cpu)
    kept = None if key is None else cache.folder(KIND, root=cache_dir) / f"{key}.json"
    found = None if kept is None else _read(kept)
    if found is not None:
        return found
    from eagleray.flow import tracing  # imports models and peft, which takes longer than all else of a plan

    parameters, learning, packed = tracing.count(spec, loaded)
    passes = tuple(tracing.trace(spec, loaded, batch, on_cpu=on_cpu) for batch in batches)
    answer_bytes = 0 if frozen is None else tracing.trace_answer(spec, loaded, frozen, on_cpu=on_cpu)
    weighed = Weighed(parameters, learning, packed, passes, answer_bytes)
    if kept is not None:
        durable.write(kept, [json.dumps(asdict(weighed)).encode()], root=kept.parent)
    return weighed


def _read(file: Path) -> Weighed | None:
    if not file.is_file():
        return None
    cache.touch(file)
    facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Weighed(
        parameters=facts["parameters"],
        learning=facts["learning"],
        packed=Packed(**facts["packed"]) if facts["packed"] else None,
        passes=tuple(Pass(**each) for each in facts["passes"]),
        answer_bytes=facts["answer_bytes"],
    )


def _key(spec: FineTuneSpec, loaded: Inputs, batches: tuple[Batch, ...], *, on_cpu: bool) -> str | None:
    """A hash of all that decides; None where nobody sees that: a branch of the hub moves, a model's own code may do."""
    place = sources.locate(spec.model.source)
    if not isinstance(place, Path) or spec.model.allow_remote_code:
        return None
    facts = {
        "model": (place / "config.json").read_text(encoding="utf-8") if place.is_dir() else _stamp(place),
        "overrides": repr(sorted(loaded.task.config_overrides(loaded.tokenizer).items())),
        "task": spec.task.model_dump(mode="json"),
        "labels": sorted(loaded.data.label_counts.items()),
        "quantization": spec.model.quantization and spec.model.quantization.model_dump(),
        "method": spec.method.model_dump(mode="json"),
        "train": spec.train.model_dump(mode="json", include=_DECIDING),
        "batches": [_shapes(batch) for batch in batches],
        "on_cpu": on_cpu,
        "versions": [eagleray.__version__, *map(version, _PACKAGES)],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _stamp(file: Path) -> str:
    facts = file.stat()
    return f"{file.resolve()}:{facts.st_size}:{facts.st_mtime_ns}"


def _shapes(batch: Mapping[str, torch.Tensor]) -> list[tuple[str, str, list[int]]]:
    return [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in sorted(batch.items())]
