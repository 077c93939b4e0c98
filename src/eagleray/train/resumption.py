"""What does a document do about an earlier run of its name: begin anew, go on with it, or fork from it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from eagleray.errors import DocumentError, UserError
from eagleray.model import description
from eagleray.spec import document
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, paths, runs
from eagleray.store.checkpoints import CheckpointId
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.runs import RunRecord
from eagleray.train.changes import Basis, Change, basis_of, decisive, differences


@dataclass(frozen=True, slots=True)
class Earlier:
    """The newest run of a name."""

    run: RunRecord
    basis: Basis
    checkpoint: CheckpointId | None  # its newest


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


def _earlier(objects: Objects, run: RunRecord) -> Earlier:
    lock = runs.read_lock(objects, run.run)
    newest = checkpoints.newest(objects, run.run)
    checkpoint = None if newest is None else newest.id
    labels = () if checkpoint is None else _labels(objects, run.run, checkpoint)
    return Earlier(run, basis_of(_document(objects, run.run), lock, labels=labels), checkpoint)


def decide(
    earlier: Earlier | None, wanted: Basis, *, wants_fork: bool = False, wants_new: bool = False
) -> New | GoOn | Fork:
    """Decide what a run of `wanted` does about the newest run of its name.

    Raises:
        UserError: going on would change the result, or what is asked for cannot be; names each key that differs.
    """
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
