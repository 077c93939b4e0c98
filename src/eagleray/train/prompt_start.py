"""How does a learned prompt begin with that of an earlier run: one prompt for several languages, one after another?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import nn

from eagleray.errors import UserError
from eagleray.model import description, export, sources
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store import paths
from eagleray.store.objects import Objects
from eagleray.store.scratch import scratch_directory
from eagleray.train import prompt_source

PROMPT = "prompt_embeddings"
"""What the prompt is called in the file of an adapter."""


@dataclass(frozen=True, slots=True)
class Start:
    """What an earlier run has learned."""

    run: str
    labels: tuple[str, ...]
    weights: dict[str, torch.Tensor]  # as its file names them: the prompt, and the head


def find(objects: Objects, spec: FineTuneSpec) -> Start | None:
    """What the document begins with; None where it does not say.

    Raises:
        UserError: there is no such run, or its prompt is one of another method, length or model.
    """
    if (record := prompt_source.run(objects, spec)) is None:
        return None
    place, folder = "method.start_from", paths.model(record.run)
    if f"{folder}/{description.FILE}" not in [info.key for info in objects.list(folder)]:
        raise UserError(f"{place}: run {record.run} is {record.phase} and has no model: let it end first")
    with scratch_directory("prompt") as scratch:
        objects.download(f"{folder}/{description.FILE}", scratch / description.FILE)
        facts = description.read(scratch)
        _check(place, record.run, facts, spec)
        objects.download(f"{folder}/{export.ADAPTER_FILE}", scratch / export.ADAPTER_FILE)
        return Start(record.run, facts.labels, load_file(scratch / export.ADAPTER_FILE))


def begin(model: nn.Module, start: Start, *, labels: tuple[str, ...]) -> None:
    """Put what was learned into a model of the same method, the head where it tells the same labels apart.

    Raises:
        UserError: the prompt has another shape.
    """
    taken = start.weights if start.labels == labels else {PROMPT: start.weights[PROMPT]}
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in export.engine_names(model, taken).items():
            if own[name].shape != weight.shape:
                raise UserError(
                    f"method.start_from: {name} of run {start.run} is {tuple(weight.shape)}, and here "
                    f"{tuple(own[name].shape)}: begin with a run of the same model and task"
                )
            own[name].copy_(weight)


def _check(place: str, run: str, facts: description.Description, spec: FineTuneSpec) -> None:
    wanted = {"type": spec.method.type, "num_virtual_tokens": getattr(spec.method, "num_virtual_tokens", 0)}
    for key, value in wanted.items():
        if facts.method.get(key) != value:
            raise UserError(f"{place}: run {run} has method.{key} {facts.method.get(key)}, this document {value}")
    own = sources.sha256(spec.model.source)
    if facts.base.sha256 != own or (not own and facts.base.source != spec.model.source):
        raise UserError(
            f"{place}: run {run} has learned its prompt for {facts.base.source}, and model.source "
            f"{spec.model.source} is another model: a prompt is of use to its own alone"
        )
