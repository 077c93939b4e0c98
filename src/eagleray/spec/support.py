"""Which tasks, methods, ZeRO stages and ways to train do not go together, and what to do instead?"""

from __future__ import annotations

from collections.abc import Iterator

from eagleray.spec.base import Conflict
from eagleray.spec.data import DataSpec, PackedSpec
from eagleray.spec.method import FreezeSpec, MethodSpec, PromptTuningSpec, PTuningV2Spec
from eagleray.spec.scale import ScaleSpec
from eagleray.spec.task import TaskSpec, TextClassificationSpec
from eagleray.spec.train import TrainSpec


def conflicts(
    *, task: TaskSpec, method: MethodSpec, data: DataSpec, train: TrainSpec, scale: ScaleSpec
) -> Iterator[Conflict]:
    """Yield what a document asks for that cannot be had together."""
    yield from _of_task(task, method, train)
    if isinstance(method, PTuningV2Spec) and train.gradient_checkpointing:
        message = "has no effect on learned keys and values, which peft refuses: set it to false, or use lora"
        yield Conflict("train.gradient_checkpointing", message)
    if isinstance(method, PTuningV2Spec | PromptTuningSpec) and isinstance(data.batching, PackedSpec):
        message = f"`packed` restarts positions within a row, {method.type} puts a prompt before it: use `plain`"
        yield Conflict("data.batching.type", message)


def _of_task(task: TaskSpec, method: MethodSpec, train: TrainSpec) -> Iterator[Conflict]:
    if train.r_drop and not (isinstance(task, TextClassificationSpec) and task.problem != "regression"):
        yield Conflict("train.r_drop", "is for text-classification with labels: leave it out")
    if not isinstance(method, FreezeSpec):
        return
    if method.cache_features and not isinstance(task, TextClassificationSpec):
        yield Conflict("method.cache_features", f"is for text-classification: leave it out for {task.type}")
    elif task.type == "causal-lm" and method.bottom_layers is None and not method.patterns and not method.thaw:
        message = "needs `bottom_layers`, `patterns` or `thaw`: a language model has no head of its own to learn alone"
        yield Conflict("method", message)
