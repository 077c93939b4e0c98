"""What does a document do about an earlier run of its name: begin anew, go on with it, or fork from it?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from eagleray.errors import DocumentError, UserError
from eagleray.model import description
from eagleray.spec import document, shape, together
from eagleray.spec.base import Spec
from eagleray.spec.finetune import FineTune
from eagleray.spec.task import TaskSpec
from eagleray.store import checkpoints, paths, runs
from eagleray.store.checkpoints import CheckpointId
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.runs import RunRecord

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


@dataclass(frozen=True, slots=True)
class Earlier:
    """The newest run of a name."""

    run: RunRecord
    basis: Basis
    checkpoint: CheckpointId | None  # its newest


@dataclass(frozen=True, slots=True)
class Change:
    """A key of `spec` that has another value than it had."""

    path: str  # "train.learning_rate"
    stored: Any  # both as in JSON
    wanted: Any
    effect: Effect

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.stored)} there, {_shown(self.wanted)} here"


@dataclass(frozen=True, slots=True)
class New:
    """Begin a run."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Go on with a run from its newest checkpoint, or from the start where it has none."""

    run: RunRecord
    changed: tuple[Change, ...]  # nothing that changes its result


@dataclass(frozen=True, slots=True)
class Fork:
    """Begin a run from a checkpoint of another."""

    source: RunRecord
    checkpoint: CheckpointId
    changed: tuple[Change, ...]
    keeps_position: bool  # False: it takes over the weights, and begins with the first step


def find(objects: Objects, name: str, *, kind: str) -> Earlier | None:
    """Read what there is of the newest run of a name and kind.

    Raises:
        UserError: this version cannot read its document.
        StorageError: the storage does not answer, or holds what a newer version wrote.
    """
    run = next((each for each in runs.list_runs(objects) if (each.name, each.kind) == (name, kind)), None)
    return None if run is None else _earlier(objects, run)


def finished(objects: Objects, wanted: Basis, *, kind: str, may_be_forked: bool = False) -> RunRecord | None:
    """Return the newest run that has succeeded and that this document would only make again.

    One that began from another run's checkpoint is what `--fork` has made of the document, not what it makes alone.
    """
    name = wanted.document.metadata.name
    for run in runs.of_name(objects, name):
        if (run.kind, run.phase) != (kind, "succeeded") or (run.forked_from is not None and not may_be_forked):
            continue
        try:
            stored = _earlier(objects, run).basis
        except UserError:  # another version's document: nobody can say that it is this one
            continue
        if not decisive(stored, wanted):
            return run
    return None


def decisive(stored: Basis, wanted: Basis) -> list[Change]:
    """Return the differences that change what is learned."""
    return [change for change in differences(stored, wanted) if change.effect != "nothing"]


def _earlier(objects: Objects, run: RunRecord) -> Earlier:
    lock = runs.read_lock(objects, run.run)
    newest = checkpoints.newest(objects, run.run)
    checkpoint = None if newest is None else newest.id
    basis = Basis(
        document=_document(objects, run.run),
        data_fingerprint=lock.data_fingerprint,
        model_sha256=lock.model_sha256,
        labels=() if checkpoint is None else _labels(objects, run.run, checkpoint),
    )
    return Earlier(run, basis, checkpoint)


def decide(
    earlier: Earlier | None, wanted: Basis, *, wants_fork: bool = False, wants_new: bool = False
) -> New | GoOn | Fork:
    """Decide what a run of `wanted` does about the newest run of its name.

    Raises:
        UserError: going on would change the result, or what is asked for cannot be; names each key that differs.
    """
    if wants_fork and wants_new:
        raise UserError("--fork and --new exclude each other: keep the one you mean")
    if wants_fork:
        return _fork(earlier, wanted)
    if wants_new or earlier is None or earlier.run.phase == "succeeded":
        return New()
    changed = differences(earlier.basis, wanted)
    other = decisive(earlier.basis, wanted)
    if not other:
        return GoOn(earlier.run, changed)
    if earlier.checkpoint is None:  # nothing is lost that a new run would not do again
        return New()
    raise UserError(_refusal(earlier.run, earlier.checkpoint, other))


def needs_fork(earlier: Earlier | None, wanted: Basis) -> bool:
    """Whether there is an unfinished run that `wanted` cannot go on with, and a checkpoint of it to begin from."""
    if earlier is None or earlier.run.phase == "succeeded" or earlier.checkpoint is None:
        return False
    return bool(decisive(earlier.basis, wanted))


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


def _placeless(task: TaskSpec) -> TaskSpec:
    """Where the rows of several tasks lie does not matter where they are the same."""
    return together.with_sources(task, lambda key, source: "-")


def _fork(earlier: Earlier | None, wanted: Basis) -> Fork:
    name = wanted.document.metadata.name
    if earlier is None:
        raise UserError(f"--fork: there is no run of {name} on this storage: leave it out, and one begins")
    run = earlier.run
    if earlier.checkpoint is None:
        raise UserError(f"--fork: run {run.run} has no checkpoint to begin from: --new begins from the start")
    changed = differences(earlier.basis, wanted)
    unfit = [change for change in changed if change.effect == "weights"]
    if unfit:
        raise UserError(
            f"--fork: the weights of run {run.run} do not fit this document:\n{_listed(unfit)}\n"
            "Put these back, or begin from the start with --new"
        )
    keeps_position = all(change.effect != "start" for change in changed)
    if keeps_position and run.phase == "succeeded":
        _refuse_finished(run, changed)
    return Fork(run, earlier.checkpoint, changed, keeps_position)


def _refuse_finished(run: RunRecord, changed: Iterable[Change]) -> None:
    other = {change.path for change in changed if change.effect != "nothing"}
    is_at_end = run.step == run.total_steps and other.isdisjoint(("train.epochs", "train.max_steps"))
    if not other or is_at_end:
        raise UserError(
            f"--fork: run {run.run} has come to its end with step {run.step}, and this document has no step after "
            "it: give more train.epochs, or begin from the start with --new"
        )


def _refusal(run: RunRecord, checkpoint: CheckpointId, other: Iterable[Change]) -> str:
    begin = f"--fork begins a new run from its checkpoint of step {checkpoint.step}, --new one from the start"
    if any(change.effect == "weights" for change in other):
        begin = "--new begins a new run from the start"
    return (
        f"run {run.run} ({run.phase}) is not finished, and going on with this document would change its result:\n"
        f"{_listed(other)}\nPut these back to go on with it; {begin}"
    )


def _listed(changed: Iterable[Change]) -> str:
    return "\n".join(f"  {change}" for change in changed)


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
        path == "train.seed" or _decides_on_rows(path) for path in changed
    ):
        yield Change("data (fingerprint)", stored.data_fingerprint[:12], wanted.data_fingerprint[:12], "start")
    if stored.model_sha256 != wanted.model_sha256 and changed.isdisjoint(_NAME_THE_MODEL):
        yield Change("model (sha256)", stored.model_sha256[:12], wanted.model_sha256[:12], "weights")
    if stored.labels and wanted.labels and stored.labels != wanted.labels and "task.labels" not in changed:
        yield Change("task.labels", list(stored.labels), list(wanted.labels), "weights")


def _decides_on_rows(path: str) -> bool:
    return any(f"{path}.".startswith(f"{key}.") for key in _DECIDE_ON_ROWS)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _document(objects: Objects, run: str) -> FineTune:
    try:
        return document.loads(runs.read_document(objects, run), source=paths.document(run)).document
    except DocumentError as error:
        raise UserError(
            f"run {run} cannot be gone on with: another version of eagleray has written its document: {error}\n"
            "Install that version (lock.json of the run names it), or begin from the start with --new"
        ) from error


def _labels(objects: Objects, run: str, checkpoint: CheckpointId) -> tuple[str, ...]:
    key = f"{paths.checkpoint(run, checkpoint.step, checkpoint.lease)}/{description.FILE}"
    try:
        return description.Description.model_validate_json(objects.read(key)).labels
    except (ObjectMissing, ValidationError):  # that the checkpoint is damaged, who restores it finds out
        return ()
