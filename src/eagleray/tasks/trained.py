"""What is in the directory of a trained model: its task, tokenizer and weights, ready to predict?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from eagleray import tasks
from eagleray.data import clean
from eagleray.data.clean import Cleaner
from eagleray.model import description
from eagleray.model.bases import Bases
from eagleray.spec.task import TaskSpec
from eagleray.tasks import preprocessing
from eagleray.tasks.base import Task


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that answers. It stays on the device it was loaded to, in evaluation mode."""

    task: Task
    tokenizer: Any  # of text; for images their reader
    model: nn.Module
    max_length: int
    cleaner: Cleaner | None  # makes a text what those were that it learned from
    device: torch.device
    files: tuple[str, ...]  # columns of raw rows that name files, relative to the one that the row is from


def load(
    directory: Path, *, device: torch.device, dtype: torch.dtype = torch.float32, bases: Bases | None = None
) -> Trained:
    """Load what a run wrote as its final model; with `bases` an adapter shares its base with others.

    Raises:
        ModelSourceError: it is no such directory, is damaged, or its base model is gone or changed.
    """
    # Brings peft and what transformers has for models: two seconds, which ONNX Runtime alone need not wait for.
    from eagleray.model.trained import load_trained

    facts = description.read(directory)
    spec: TaskSpec = TypeAdapter[TaskSpec](TaskSpec).validate_json(json.dumps(facts.task))
    built = tasks.build(spec)
    tokenizer = preprocessing.load(built, source=str(directory), allow_remote_code=facts.base.allow_remote_code)
    task = tasks.ready(built, labels=facts.labels, tokenizer=tokenizer)
    model = load_trained(
        directory,
        facts,
        model_class=task.model_class(),
        config_overrides=task.config_overrides(tokenizer),
        dtype=dtype,
        bases=bases,
    )
    return Trained(
        task=task,
        tokenizer=tokenizer,
        model=model.to(device),
        max_length=facts.max_length,
        cleaner=clean.from_facts(facts.clean, spec.content.texts),
        device=device,
        files=spec.content.files,
    )
