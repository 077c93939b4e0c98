"""How does a pretrained model become a sharded one that learns as a document says?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from eagleray import methods
from eagleray.spec.data import PackedSpec
from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.method import FreezeSpec
from eagleray.tasks import packed_rows
from eagleray.tasks.base import Task
from eagleray.train import averaging, deepspeed_config, features, optimizers, penalties, prompt_start
from eagleray.train.engine import Engine
from eagleray.train.feed import Collate
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs
from eagleray.train.loading import Loader
from eagleray.train.prompt_start import Start


@dataclass(frozen=True, slots=True)
class Built:
    """A model that is ready to learn."""

    engine: Engine
    inputs: Inputs  # with the features of a frozen model, where they are cached
    num_learning: int  # weights
    num_parameters: int


def build(
    spec: FineTuneSpec,
    loaded: Inputs,
    *,
    loader: Loader,
    collate: Collate,
    group: Group,
    total_steps: int,
    cache_dir: Path,
    start: Start | None = None,
) -> Built:
    """Load the model, set what learns and shard it. Collective; the random state decides on a new head.

    `start` is what another run has learned before.
    """
    model = _model(spec, loader.pretrained(spec, loaded), task=loaded.task)
    if start is not None:
        prompt_start.begin(model, start, labels=loaded.task.labels)
    if isinstance(spec.method, FreezeSpec) and spec.method.cache_features:
        assert isinstance(model, PreTrainedModel)
        model.to(group.device)  # type: ignore[arg-type]  # transformers' wrapper of it has no type
        loaded = features.attach(loaded, model, collate=collate, cache_dir=cache_dir)
    num_learning, num_parameters = _count(model)
    return Built(_engine(spec, model, group, total_steps=total_steps), loaded, num_learning, num_parameters)


def _model(spec: FineTuneSpec, model: PreTrainedModel, *, task: Task) -> torch.nn.Module:
    """The pretrained model as it learns."""
    if isinstance(spec.data.batching, PackedSpec):
        packed_rows.check_kept_apart(model)
    if spec.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
        model.enable_input_require_grads()  # type: ignore[no-untyped-call]
    return methods.apply(model, spec.method, task=task)


def _engine(spec: FineTuneSpec, model: torch.nn.Module, group: Group, *, total_steps: int) -> Engine:
    train = spec.train
    optimizer = optimizers.build(
        model,
        train.optimizer,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        fused=True,
        by_layer=optimizers.ByLayer(train.layer_decay, thaw_steps=_thaw_steps(spec, total_steps)),
    )
    config = deepspeed_config.build(
        spec.scale.zero,
        world_size=group.world_size,
        precision=train.precision,
        gradient_clip=train.gradient_clip,
        on_cpu=group.device.type == "cpu",
    )
    engine = Engine(
        model,
        optimizer=optimizer,
        config=config,
        group=group,
        gradient_clip=train.gradient_clip,
        averages=train.averaging is not None,
    )
    # After DeepSpeed, which may take a step of its own to begin with.
    penalties.attach(optimizer, l1=train.l1, l2=train.l2)
    if train.averaging is not None:
        averaging.attach(optimizer, train.averaging, total_steps=total_steps)
    return engine


def _thaw_steps(spec: FineTuneSpec, total_steps: int) -> int:
    return round(spec.method.thaw * total_steps) if isinstance(spec.method, FreezeSpec) else 0


def _count(model: torch.nn.Module) -> tuple[int, int]:
    """Weights that learn, and all."""
    learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return learning, sum(parameter.numel() for parameter in model.parameters())
