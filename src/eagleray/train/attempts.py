"""What to do when the workers of a run have ended: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass

from eagleray import errors
from eagleray.store.failures import WORKER_DIED, FailureRecord

LESS_MEMORY = (
    "One sample a micro batch is already the least: lower data.max_length, use method lora, "
    "a higher scale.zero.stage, offload, or train.gradient_checkpointing"
)
WHY_DEAD = (
    "A system that is short of memory kills processes (`dmesg` on that machine says so): lower "
    "train.micro_batch_size or data.max_length, or use method lora"
)


@dataclass(frozen=True, slots=True)
class Halve:
    """Start again with at most this many samples a micro batch."""

    micro_batch_limit: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the run with this failure."""

    failure: FailureRecord


Decision = Halve | GiveUp


def decide(failures: list[FailureRecord], *, micro_batch_size: int | None) -> Decision:
    """Decide by the failures of one attempt, the earliest first, and the micro batch size it had.

    Where any rank ran out of memory, that is the cause whatever the others say: they lost their peer in a collective.
    """
    exhausted = next((failure for failure in failures if failure.kind == "OutOfMemory"), None)
    if exhausted is None:
        return GiveUp(failures[0])
    if micro_batch_size is None or micro_batch_size == 1:
        return GiveUp(exhausted)
    return Halve(micro_batch_size // 2)


def error_of(failure: FailureRecord, *, traceback_place: str) -> errors.EaglerayError:
    """Return the failure as the error that the user sees: one of ours keeps its class and its exit code."""
    kind = getattr(errors, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, errors.EaglerayError) and not issubclass(kind, errors.TrainingError):
        return kind(failure.message)
    lines = failure.message.strip().splitlines()
    what = f"worker {failure.rank}: {failure.kind}" + (f": {lines[0]}" if lines else "")
    if failure.kind == "OutOfMemory":
        return errors.OutOfMemory(f"{what}\n{LESS_MEMORY}\nits traceback: {traceback_place}")
    if failure.kind == WORKER_DIED:
        return errors.TrainingError(f"{what}\n{WHY_DEAD}\nwhat Ray knows of it: {traceback_place}")
    return errors.TrainingError(f"{what}\nits traceback: {traceback_place}")


def not_started(failure: Exception, *, free: str) -> str:
    """Return what to tell the user where Ray Train could not start the workers; `free` is what the cluster has left."""
    first = str(failure).strip().split("Potential causes")[0].strip() or type(failure).__name__
    return (
        f"the workers could not be started: {first}\nfree on the cluster now: {free}. "
        "Wait until other jobs have ended, or lower scale.num_workers"
    )
