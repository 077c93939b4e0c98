"""Which samples did each step really use? Written beside each checkpoint, read back along the chain of parents.

What was trained and lost in a crash is in no checkpoint's past, so the chain that ends in a checkpoint tells what its
weights have seen. Each part is one compressed object: a line that says what it is part of, then a line a step.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from pydantic import Field, ValidationError

from eagleray.store import paths
from eagleray.store.manifests import CheckpointId
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Damaged, Record

_LEVEL = 6  # a million samples take half a second; the default, 9, takes three times that for 1 % less

_DAMAGE = (OSError, EOFError, zlib.error, ValidationError)
"""What reading an object raises that is cut, altered or of another format."""
_UNUSED, _USED, _REPEATED, _SKIPPED = range(4)
_AFTER_USE = bytes([_USED, _REPEATED, _REPEATED, _USED])  # by what it was before
_AFTER_SKIP = bytes([_SKIPPED, _USED, _REPEATED, _SKIPPED])


class StepUse(Record):
    """The samples of one step, as indices of the training split."""

    step: int
    epoch: int
    ranks: list[list[int]]  # what the collate of each rank received, fillers left out
    skipped: list[int] = Field(default_factory=list)  # what was left out because it cannot be batched


class EpochUse(Record):
    """How the samples of an epoch were used. Used, skipped and missed samples add up to all."""

    epoch: int
    num_used: int
    num_missed: int
    num_repeated: int  # of those used, the ones used more than once
    num_skipped: int
    is_complete: bool  # none is missed


class LedgerReport(Record):
    """Whether each sample was used exactly once an epoch."""

    num_samples: int = 0
    epochs: tuple[EpochUse, ...] = ()
    is_exact: bool = False
    """No sample was used twice in an epoch, and none is missed but in the last one, which may be going on."""
    problem: str = ""
    """What is wrong with the ledger itself."""


class _Header(Record):
    format: Literal[1] = 1
    parent: CheckpointId | None
    parent_run: str
    num_samples: int


@dataclass(frozen=True, slots=True)
class _Part:
    """What was written beside one checkpoint, still compressed: a million samples are 3 MB, as numbers 100 MB."""

    key: str
    header: _Header
    data: bytes


def write(
    objects: Objects,
    run: str,
    checkpoint: CheckpointId,
    *,
    parent: CheckpointId | None,
    num_samples: int,
    steps: Iterable[StepUse],
    parent_run: str = "",
) -> None:
    """Write down the steps from the parent to a checkpoint, before its manifest. `num_samples` is that of the split.

    `parent_run` is the run of the parent, where that is another one: a run that goes on from a fork.
    """
    if parent == checkpoint and parent_run in ("", run):
        raise ValueError(f"{checkpoint} of {run} cannot be its own parent: its steps would be lost")
    header = _Header(parent=parent, parent_run=parent_run, num_samples=num_samples)
    lines = [header.model_dump_json(), *(step.model_dump_json() for step in steps), ""]
    data = gzip.compress("\n".join(lines).encode(), _LEVEL, mtime=0)
    objects.put(paths.ledger(run, checkpoint.step, checkpoint.lease), data)


def pass_on(objects: Objects, run: str, checkpoint: CheckpointId, *, parent: CheckpointId) -> None:
    """Write down that no step lies between a checkpoint and its parent. Where the parent's part is of no use, nothing:
    the chain is broken there already."""
    try:
        num_samples = _read(objects, paths.ledger(run, parent.step, parent.lease)).header.num_samples
    except (ObjectMissing, Damaged):
        return
    write(objects, run, checkpoint, parent=parent, num_samples=num_samples, steps=[])


def read(objects: Objects, run: str, head: CheckpointId) -> list[StepUse]:
    """All steps that led to a checkpoint, in their order. Raises ObjectMissing or Damaged where a part is of no use."""
    return [step for part in _chain(objects, run, head) for step in _steps(objects, part)]


def examine(objects: Objects, run: str, head: CheckpointId) -> LedgerReport:
    """Report on the steps that led to a checkpoint. A part that is missing or damaged is a problem, not an error."""
    try:
        parts = _chain(objects, run, head)
        num_samples = parts[-1].header.num_samples
        found = report((step for part in parts for step in _steps(objects, part)), num_samples, first=1, last=head.step)
    except (ObjectMissing, Damaged) as error:
        return LedgerReport(problem=str(error))
    if any(part.header.num_samples != num_samples for part in parts):
        problem = "the parts of the ledger are of training splits of different sizes"
        return found.model_copy(update={"is_exact": False, "problem": problem})
    return found


def report(
    steps: Iterable[StepUse], num_samples: int, *, first: int | None = None, last: int | None = None
) -> LedgerReport:
    """Count how often each epoch used each sample, in one byte of memory for each of them.

    `first` and `last` are the steps that must be the first and the last; left out, any may be.
    """
    uses: dict[int, bytearray] = {}
    problem, expected = "", first
    for step in steps:
        if expected is not None and step.step != expected:
            problem = problem or f"step {step.step} stands where step {expected} should"
        expected = step.step + 1
        counts = uses.setdefault(step.epoch, bytearray(num_samples))
        if _is_in_range(step, num_samples):
            _count(step, counts)
        else:
            problem = problem or f"step {step.step} names a sample outside of the {num_samples:,} there are"
    if last is not None and expected is not None and expected != last + 1:
        problem = problem or f"it ends before step {expected}, the checkpoint is of step {last}"
    epochs = _epochs(uses, num_samples)
    is_exact = not problem and all(_is_exact(epoch, is_last=epoch == epochs[-1]) for epoch in epochs)
    return LedgerReport(num_samples=num_samples, epochs=epochs, is_exact=is_exact, problem=problem)


def _count(step: StepUse, counts: bytearray) -> None:
    for indices in step.ranks:
        for index in indices:
            counts[index] = _AFTER_USE[counts[index]]
    for index in step.skipped:
        counts[index] = _AFTER_SKIP[counts[index]]


def _is_in_range(step: StepUse, num_samples: int) -> bool:
    return all(min(indices) >= 0 and max(indices) < num_samples for indices in (*step.ranks, step.skipped) if indices)


def _is_exact(epoch: EpochUse, *, is_last: bool) -> bool:
    return not epoch.num_repeated and (epoch.is_complete or is_last)


def _epochs(uses: dict[int, bytearray], num_samples: int) -> tuple[EpochUse, ...]:
    if not uses:
        return ()
    unused = bytearray(num_samples)  # an epoch that was passed over
    return tuple(_epoch(epoch, uses.get(epoch, unused)) for epoch in range(min(uses), max(uses) + 1))


def _epoch(epoch: int, counts: bytearray) -> EpochUse:
    num_missed, num_repeated = counts.count(_UNUSED), counts.count(_REPEATED)
    return EpochUse(
        epoch=epoch,
        num_used=counts.count(_USED) + num_repeated,
        num_missed=num_missed,
        num_repeated=num_repeated,
        num_skipped=counts.count(_SKIPPED),
        is_complete=num_missed == 0,
    )


def _chain(objects: Objects, run: str, head: CheckpointId) -> list[_Part]:
    """The parts that led to a checkpoint, the earliest first."""
    parts: list[_Part] = []
    keys: set[str] = set()
    place: CheckpointId | None = head
    while place is not None:
        part = _read(objects, paths.ledger(run, place.step, place.lease))
        if part.key in keys:
            raise Damaged(f"{objects.uri}: the ledger {part.key} is damaged: it is its own ancestor")
        parts.append(part)
        keys.add(part.key)
        place, run = part.header.parent, part.header.parent_run or run
    return parts[::-1]


def _read(objects: Objects, key: str) -> _Part:
    data = objects.read(key)
    try:
        with gzip.open(BytesIO(data)) as lines:
            return _Part(key, _Header.model_validate_json(lines.readline()), data)
    except _DAMAGE as error:
        raise _damaged(objects, key) from error


def _steps(objects: Objects, part: _Part) -> Iterator[StepUse]:
    try:
        with gzip.open(BytesIO(part.data)) as lines:
            lines.readline()
            yield from map(StepUse.model_validate_json, lines)
    except _DAMAGE as error:
        raise _damaged(objects, part.key) from error


def _damaged(objects: Objects, key: str) -> Damaged:
    return Damaged(f"{objects.uri}: the ledger {key} is damaged or was written by a newer eagleray")
