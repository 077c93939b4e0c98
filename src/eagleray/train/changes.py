"""What has changed between two documents, and what does each change do to a run that is half done?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from eagleray.metrics import own
from eagleray.model import sources
from eagleray.spec import metrics, shape, together
from eagleray.spec.base import Spec
from eagleray.spec.finetune import FineTune
from eagleray.spec.task import TaskSpec
from eagleray.store.runs import LockRecord

Effect = Literal["nothing", "course", "start", "weights"]
"""How far a key reaches. `nothing`: what is learned stays the same, to rounding and the draw of dropout. `course`: how
training goes on from a step. `start`: what it goes on from, the state of the optimizer and the position in the data.
`weights`: which weights there are and what they mean; those of a run with another value do not fit."""

EFFECTS: dict[str, Effect] = {
    "storage": "nothing",
    "model": "weights",
    "model.quantization": "start",
    "model.allow_pickle": "nothing",
    "model.allow_remote_code": "nothing",
    "task": "start",  # columns and format: other samples
    "task.type": "weights",
    "task.problem": "weights",
    "task.labels": "weights",
    "task.tasks": "weights",
    "task.with_masked_lm": "weights",
    "task.max_new_tokens": "nothing",
    "task.num_fillings": "nothing",
    "task.scheme": "weights",
    "task.num_beams": "nothing",
    "task.length_penalty": "nothing",
    "task.no_repeat_ngram": "nothing",
    "task.generate_for": "nothing",
    "task.bleu_tokenizer": "nothing",
    "task.preset": "nothing",
    "task.wordnet": "nothing",
    "data": "start",
    "method": "weights",
    "method.dropout": "course",
    "method.thaw": "course",
    "method.cache_features": "course",
    "metrics": "course",  # as with checkpoints: they may decide on the best one
    "method.start_from": "start",
    "self_training": "nothing",  # each of its rounds is a run without it
    "train": "course",
    "train.global_batch_size": "start",
    "train.micro_batch_size": "nothing",
    "train.optimizer.type": "start",
    "train.optimizer.momentum": "start",  # with a momentum there is a state of it, without there is none
    "train.gradient_checkpointing": "nothing",
    "train.log_every_steps": "nothing",
    "train.seed": "start",
    "stages": "nothing",  # of a run there are none: they are runs of their own, and what came of them is its model
    "scale": "nothing",
    "checkpoint": "course",  # each is evaluated before: that decides on the best one, and on stopping early
    "checkpoint.keep": "nothing",
    "failures": "nothing",
    "watchdog": "nothing",
    "sweep": "nothing",
    "promote": "nothing",
    "endpoint": "nothing",
    "tracking": "nothing",
    "monitoring": "nothing",
    "cluster": "nothing",
}
"""By key of `spec`. A key that is not here does what the one above it does."""

_DECIDE_ON_ROWS = (
    *("data.train", "data.validation.fraction", "data.validation.file", "data.test", "data.test_fraction"),
    *("data.keep", "data.language", "data.train_languages", "data.clean", "data.few_shot", "data.balance"),
    "data.augment",
)
_NAME_THE_MODEL = ("model.source", "model.revision")


@dataclass(frozen=True, slots=True)
class Basis:
    """What a run is made from: its document, and what stood behind the names in it."""

    document: FineTune
    data_fingerprint: str
    model_sha256: str  # "" for a hub id, which its revision names
    labels: tuple[str, ...] = ()  # as the head has them; () where there are none, or they are not known
    metrics_sha256: str = ""  # of the code of the document's own metrics; "" where none of it is a file
    prompt_of: str = ""  # the model whose prompt it begins with, see `prompt_source.find`


def basis(document: FineTune, data_fingerprint: str, *, prompt_of: str) -> Basis:
    """Return what a run of a document would be made from, as it is now."""
    model_sha256, metrics_sha256 = sources.sha256(document.spec.model.source), own.sha256(document.spec.metrics)
    return Basis(document, data_fingerprint, model_sha256, metrics_sha256=metrics_sha256, prompt_of=prompt_of)


def basis_of(document: FineTune, lock: LockRecord, *, labels: tuple[str, ...] = ()) -> Basis:
    """Return what a run of a document was made from, as its lock says."""
    return Basis(
        document,
        data_fingerprint=lock.data_fingerprint,
        model_sha256=lock.model_sha256,
        labels=labels,
        metrics_sha256=lock.metrics_sha256,
        prompt_of=lock.prompt_of,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A key of `spec` that has another value than it had."""

    path: str  # "train.learning_rate"
    stored: Any  # both as in JSON
    wanted: Any
    effect: Effect

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.stored)} there, {_shown(self.wanted)} here"


def decisive(stored: Basis, wanted: Basis) -> list[Change]:
    """Return the differences that change what is learned."""
    return [change for change in differences(stored, wanted) if change.effect != "nothing"]


def differences(stored: Basis, wanted: Basis) -> tuple[Change, ...]:
    """Return what differs. A name that stands for the same rows, weights or labels under another name has no effect."""
    changed = changes(stored.document, wanted.document)
    same: set[str] = set()
    if stored.data_fingerprint == wanted.data_fingerprint:
        same.update(change.path for change in changed if _decides_on_rows(change.path))
        if _placeless(stored.document.spec.task) == _placeless(wanted.document.spec.task):
            same.add("task.tasks")
    if stored.model_sha256 and stored.model_sha256 == wanted.model_sha256:
        same.update(_NAME_THE_MODEL)
    if stored.labels and stored.labels == wanted.labels:
        same.add("task.labels")
    if stored.metrics_sha256 == wanted.metrics_sha256 and _named_alike(stored.document, wanted.document):
        same.add("metrics")
    if stored.prompt_of and stored.prompt_of == wanted.prompt_of:
        same.add("method.start_from")
    named = [replace(change, effect="nothing") if change.path in same else change for change in changed]
    return (*named, *_unnamed(stored, wanted, {change.path for change in changed}))


def changes(stored: FineTune, wanted: FineTune) -> tuple[Change, ...]:
    """Return the keys of `spec` whose values differ, in the order of the document.

    Where another type is chosen, that is all that is said of what it brings with it.
    """
    return tuple(_changes(stored.spec, wanted.spec, ""))


def effect(path: str) -> Effect:
    """Return how far a key of `spec` reaches."""
    return EFFECTS[max((key for key in EFFECTS if f"{path}.".startswith(f"{key}.")), key=len)]


def _named_alike(stored: FineTune, wanted: FineTune) -> bool:
    """Whether the same metrics are asked for, wherever their code lies: a job's folder is another each time."""
    there, here = (
        metrics.with_files(each.spec.metrics, dict.fromkeys(metrics.files(each.spec.metrics), "-"))
        for each in (stored, wanted)
    )
    return there == here


def _placeless(task: TaskSpec) -> TaskSpec:
    """Where the rows of several tasks lie does not matter where they are the same."""
    return together.with_sources(task, lambda key, source: "-")


def _changes(stored: Any, wanted: Any, path: str) -> Iterator[Change]:
    if isinstance(stored, Spec) and type(stored) is type(wanted):
        for key in type(stored).model_fields:
            yield from _changes(getattr(stored, key), getattr(wanted, key), f"{path}.{key}" if path else key)
    elif isinstance(stored, Spec) and isinstance(wanted, Spec):
        chosen = f"{path}.type"
        yield Change(chosen, shape.tag(type(stored)), shape.tag(type(wanted)), effect(chosen))
    elif stored != wanted:
        yield Change(path, to_jsonable_python(stored), to_jsonable_python(wanted), effect(path))


def _unnamed(stored: Basis, wanted: Basis, changed: set[str]) -> Iterator[Change]:
    """What differs behind names that are the same: files were changed, a branch of the hub has moved on."""
    if stored.data_fingerprint != wanted.data_fingerprint and not any(
        path.startswith(("train.seed", "task.tasks", "task.mixing")) or _decides_on_rows(path) for path in changed
    ):
        yield Change("data (fingerprint)", stored.data_fingerprint[:12], wanted.data_fingerprint[:12], "start")
    if stored.model_sha256 != wanted.model_sha256 and changed.isdisjoint(_NAME_THE_MODEL):
        yield Change("model (sha256)", stored.model_sha256[:12], wanted.model_sha256[:12], "weights")
    if stored.metrics_sha256 != wanted.metrics_sha256 and "metrics" not in changed:
        yield Change("metrics (code)", stored.metrics_sha256[:12], wanted.metrics_sha256[:12], "course")
    if stored.prompt_of != wanted.prompt_of and "method.start_from" not in changed:
        yield Change("method.start_from (run)", stored.prompt_of, wanted.prompt_of, "start")
    if stored.labels and wanted.labels and stored.labels != wanted.labels and "task.labels" not in changed:
        yield Change("task.labels", list(stored.labels), list(wanted.labels), "weights")


def _decides_on_rows(path: str) -> bool:
    return any(f"{path}.".startswith(f"{key}.") for key in _DECIDE_ON_ROWS)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
