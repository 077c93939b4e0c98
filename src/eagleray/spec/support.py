"""Which tasks, methods, ZeRO stages and ways to train do not go together, and what to do instead?"""

from __future__ import annotations

from collections.abc import Iterator

from eagleray.spec.base import Conflict
from eagleray.spec.data import DataSpec, PackedSpec
from eagleray.spec.method import FreezeSpec, LoraSpec, MethodSpec, PromptTuningSpec, PTuningV2Spec
from eagleray.spec.model import ModelSpec
from eagleray.spec.scale import ScaleSpec
from eagleray.spec.task import ImageClassificationSpec, TaskSpec, TextClassificationSpec
from eagleray.spec.train import TrainSpec

_WITHOUT_PROMPT = ("image-classification", "masked-lm", "next-sentence")
"""Tasks whose models `methods.base.kind` knows no kind of peft for: a prompt would be left out without a word."""
_WITHOUT_HEAD = ("causal-lm", "masked-lm", "seq2seq")


def conflicts(
    *, model: ModelSpec, task: TaskSpec, method: MethodSpec, data: DataSpec, train: TrainSpec, scale: ScaleSpec
) -> Iterator[Conflict]:
    """Yield what a document asks for that cannot be had together."""
    if model.quantization is not None:
        yield from _of_quantization(method, train, scale)
    yield from _of_task(task, method, train)
    if isinstance(method, PTuningV2Spec) and train.gradient_checkpointing:
        message = "has no effect on learned keys and values, which peft refuses: set it to false, or use lora"
        yield Conflict("train.gradient_checkpointing", message)
    if isinstance(method, PTuningV2Spec | PromptTuningSpec) and task.type in _WITHOUT_PROMPT:
        message = f"peft puts no prompt before a model of {task.type}: use lora or full"
        yield Conflict("method.type", message)
    if method.type == "ia3" and isinstance(task, ImageClassificationSpec):
        yield Conflict("method.type", "peft scales no layers of a model of images: use lora, freeze or full, not ia3")
    if isinstance(method, PTuningV2Spec | PromptTuningSpec) and isinstance(data.batching, PackedSpec):
        message = f"`packed` restarts positions within a row, {method.type} puts a prompt before it: use `plain`"
        yield Conflict("data.batching.type", message)


def _of_quantization(method: MethodSpec, train: TrainSpec, scale: ScaleSpec) -> Iterator[Conflict]:
    place = "model.quantization"
    if not scale.gpus_per_worker:
        yield Conflict(place, "has kernels for GPUs alone: set scale.gpus_per_worker: 1, or leave it out")
    if not isinstance(method, LoraSpec):
        yield Conflict(place, f"is for weights that stay below adapters: use method.type lora, not {method.type}")
    if scale.zero.stage == 3:
        yield Conflict(place, "packs weights in a way that stage 3 cannot cut: set scale.zero.stage: 2")
    if train.precision == "bf16":
        yield Conflict(place, "computes in bf16 by itself; DeepSpeed cannot convert packed weights: use precision fp32")


def _of_task(task: TaskSpec, method: MethodSpec, train: TrainSpec) -> Iterator[Conflict]:
    if train.r_drop and not (isinstance(task, TextClassificationSpec) and task.problem != "regression"):
        yield Conflict("train.r_drop", "is for text-classification with labels: leave it out")
    if train.mixup:
        yield from _of_mixup(task, method, train)
    if not isinstance(method, FreezeSpec):
        return
    if method.cache_features and not isinstance(task, TextClassificationSpec):
        yield Conflict("method.cache_features", f"is for text-classification: leave it out for {task.type}")
    elif task.type in _WITHOUT_HEAD and method.bottom_layers is None and not method.patterns and not method.thaw:
        message = "needs `bottom_layers`, `patterns` or `thaw`: such a model has no head of its own to learn alone"
        yield Conflict("method", message)


def _of_mixup(task: TaskSpec, method: MethodSpec, train: TrainSpec) -> Iterator[Conflict]:
    has_labels = isinstance(task, TextClassificationSpec) and task.problem != "regression"
    if not (has_labels or isinstance(task, ImageClassificationSpec)):
        yield Conflict("train.mixup", "is for text-classification with labels and image-classification: leave it out")
    if train.r_drop:
        yield Conflict(
            "train.mixup", "and train.r_drop each make other rows of those of a batch: leave one of them out"
        )
    if isinstance(method, FreezeSpec) and method.cache_features:
        yield Conflict(
            "train.mixup", "mixes what the model reads, and method.cache_features runs it once: leave one out"
        )
