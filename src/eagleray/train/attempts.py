"""What to do when the workers of a run have ended: pure decisions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from eagleray import errors
from eagleray.spec.failures import LONGEST_BACKOFF_S, BudgetSpec, FailuresSpec
from eagleray.store.events import Event
from eagleray.store.failures import NO_ANSWER, WORKER_DIED, FailureRecord
from eagleray.store.lease import LeaseLost

FailureClass = Literal["infrastructure", "preemption", "out_of_memory", "hang", "numerical", "data", "fault", "user"]
"""What ended an attempt. Each but `user`, which is never tried again, has a budget of its name in the document."""

HANG = "Hang"
"""The kind of a failure that the watchdog wrote down."""

LESS_MEMORY = (
    "Lower train.micro_batch_size; where it is 1 already, lower data.max_length, or use method lora, "
    "a higher scale.zero.stage, offload, or train.gradient_checkpointing"
)
WHY_DEAD = (
    "A system that is short of memory kills processes (`dmesg` on that machine says so): lower "
    "train.micro_batch_size or data.max_length, or use method lora"
)
WHY_GONE = "the workers are gone, and none could say why: `ray status` tells what is left of the cluster"
WHY_HUNG = "A worker that is only slow needs a higher watchdog.timeout_s"

# A worker writes down no more of what it raised than the name of the class.
_OUT_OF_MEMORY = errors.OutOfMemory.__name__
_ADVICE = {_OUT_OF_MEMORY: LESS_MEMORY, HANG: WHY_HUNG, NO_ANSWER: WHY_HUNG, WORKER_DIED: WHY_DEAD}
_UNSAID = {"preemption": "the nodes of the workers were taken away"}
_PLACES = {HANG: "its stacks", NO_ANSWER: "what Ray knows of it", WORKER_DIED: "what Ray knows of it"}

_Symptom = FailureClass | Literal["storage", "lost peer"]

_SYMPTOMS: dict[str, _Symptom] = {
    _OUT_OF_MEMORY: "out_of_memory",
    LeaseLost.__name__: "user",  # somebody has started this run elsewhere
    errors.NotFinite.__name__: "numerical",
    errors.BadSamples.__name__: "data",
    HANG: "hang",
    NO_ANSWER: "hang",
    WORKER_DIED: "infrastructure",
    errors.PeerFailed.__name__: "lost peer",
    errors.ClusterError.__name__: "infrastructure",
}

_PRECEDENCE: tuple[_Symptom, ...] = (
    *("out_of_memory", "user", "storage", "numerical", "data"),
    *("hang", "infrastructure", "fault", "lost peer"),
)
"""From what is no consequence of another failure to what often is one: a worker that ran out of memory is the cause
whatever the others say, and who lost a peer has only seen that another failed."""

_OF_A_NODE_TAKEN_AWAY = (None, "hang", "infrastructure", "fault", "lost peer")
"""What the end of a node explains. That a loss was not finite, it does not."""

# What gloo, NCCL and torch's store raise at the workers that are left when another has gone.
_LOST_PEER = re.compile(
    "closed by peer|reset by peer|broken pipe|socket closed|connection was likely closed|connection refused"
    "|ncclRemoteError|remote process exit",
    re.IGNORECASE,
)

_NOT_FROM_TEXT = (errors.DocumentError, errors.Interrupted)
"""Classes that are built from more than a message."""

_RESETS = ("checkpoint", "failed", "stopped")
"""Progress gives every budget back, and so does an end: what comes after it was started by a person."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the workers again."""

    reason: FailureClass
    delay_s: float
    micro_batch_limit: int | None = None  # a new, lower limit; None leaves the one there was
    failure: FailureRecord | None = None  # what ended the attempt; None where no worker could say


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the run."""

    failure: FailureRecord | None  # what ended the attempt; None where no worker could say
    reason: FailureClass
    retries: int = 0  # how often it was started again for this reason since the last checkpoint


Decision = Restart | GiveUp


def classify(failures: Sequence[FailureRecord], *, is_preempted: bool) -> FailureClass:
    """Return what ended an attempt, by its failures (the earliest first) and whether a node of it was taken away."""
    return _class_of(_cause(failures)[0], is_preempted=is_preempted)


def cause(failures: Sequence[FailureRecord]) -> FailureRecord | None:
    """Return the failure that shows first what ended an attempt; None where no worker could say."""
    return _cause(failures)[1]


def decide(
    failures: Sequence[FailureRecord],
    *,
    spent: Mapping[FailureClass, int],
    budgets: FailuresSpec,
    micro_batch_size: int | None,
    is_preempted: bool = False,
) -> Decision:
    """Decide by the failures of one attempt, the earliest first, and the micro batch size it had.

    `spent` is how often the run was started again for each reason since its last checkpoint. A storage that refused is
    not tried again whatever is left of the budget: the worker has already waited for it as long as makes sense.
    """
    symptom, failure = _cause(failures)
    reason = _class_of(symptom, is_preempted=is_preempted)
    retries = spent.get(reason, 0)
    if symptom in ("user", "storage"):
        return GiveUp(failure, reason, retries)
    budget: BudgetSpec = getattr(budgets, reason)
    if retries >= budget.retries:
        return GiveUp(failure, reason, retries)
    delay_s = _delay_s(budget.backoff_s, retries=retries)
    if reason != "out_of_memory":
        return Restart(reason, delay_s, failure=failure)
    if micro_batch_size is None or micro_batch_size == 1:
        return GiveUp(failure, reason, retries)
    return Restart(reason, delay_s, micro_batch_size // 2, failure)


def spent(events: Sequence[Event]) -> dict[FailureClass, int]:
    """Count the restarts for each reason since the last checkpoint, by a run's events in their order."""
    last_reset = max((number for number, event in enumerate(events) if event.kind in _RESETS), default=-1)
    return dict(Counter(event.fields["reason"] for event in events[last_reset + 1 :] if event.kind == "restarted"))


def num_workers(*, fitting: int, smallest: int, largest: int) -> int | None:
    """Return how many workers the next attempt takes where so many fit; None where it has to wait for more."""
    return min(fitting, largest) if fitting >= smallest else None


def error_of(given_up: GiveUp, *, traceback_place: str) -> errors.EaglerayError:
    """Return the end of a run as the error that the user sees: one of ours keeps its class and its exit code."""
    failure, tried = given_up.failure, _tried(given_up)
    if failure is None:
        return errors.ClusterError(_lines(_UNSAID.get(given_up.reason, WHY_GONE), tried))
    kind = _class_named(failure.kind)
    if kind not in (errors.TrainingError, errors.OutOfMemory):
        return kind(_lines(failure.message, tried))
    first = next(iter(failure.message.strip().splitlines()), "")
    what = f"worker {failure.rank}: {failure.kind}" + (f": {first}" if first else "")
    place = f"{_PLACES.get(failure.kind, 'its traceback')}: {traceback_place}"
    return kind(_lines(what, _ADVICE.get(failure.kind, ""), tried, place))


def not_started(failure: Exception, *, free: str) -> str:
    """Return what to tell the user where Ray Train could not start the workers; `free` is what the cluster has left."""
    first = str(failure).strip().split("Potential causes")[0].strip() or type(failure).__name__
    return (
        f"the workers could not be started: {first}\nfree on the cluster now: {free}. "
        "Wait until other jobs have ended, or lower scale.num_workers"
    )


def _cause(failures: Sequence[FailureRecord]) -> tuple[_Symptom | None, FailureRecord | None]:
    """What ended an attempt, and the failure that shows it first."""
    shown: dict[_Symptom, list[FailureRecord]] = defaultdict(list)
    for failure in failures:
        shown[_symptom(failure)].append(failure)
    symptom = next((symptom for symptom in _PRECEDENCE if symptom in shown), None)
    if symptom is None:
        return None, None
    # Of workers that hang the first is the one that came least far; of others, the earliest.
    return symptom, min(shown[symptom], key=lambda failure: failure.num_marks or 0)


def _class_of(symptom: _Symptom | None, *, is_preempted: bool) -> FailureClass:
    if is_preempted and symptom in _OF_A_NODE_TAKEN_AWAY:
        return "preemption"
    match symptom:
        case None | "storage" | "lost peer":
            return "infrastructure"
        case _:
            return symptom


def _symptom(failure: FailureRecord) -> _Symptom:
    if failure.kind in _SYMPTOMS:
        return _SYMPTOMS[failure.kind]
    kind = _class_named(failure.kind)
    if issubclass(kind, errors.UserError):
        return "user"
    if issubclass(kind, errors.StorageError):
        return "storage"
    return "lost peer" if _LOST_PEER.search(failure.message) else "fault"


def _class_named(kind: str) -> type[errors.EaglerayError]:
    """The class of `errors` that stands for a failure's kind. Any other exception is a TrainingError."""
    named = next((each for each in _family(errors.EaglerayError) if each.__name__ == kind), errors.TrainingError)
    # What is derived elsewhere, as store.objects.ObjectMissing, may be built from more than a message, too.
    return next(base for base in named.__mro__ if base.__module__ == errors.__name__ and base not in _NOT_FROM_TEXT)


def _family(base: type[errors.EaglerayError]) -> Iterator[type[errors.EaglerayError]]:
    yield base
    for derived in base.__subclasses__():
        yield from _family(derived)


def _delay_s(backoff_s: float, *, retries: int) -> float:
    if not retries:  # most failures come alone, and what they cost is time
        return 0.0
    # The exponent is bounded, because a budget is not: 2.0**1024 is an error.
    return min(backoff_s * 2.0 ** min(retries - 1, 64), LONGEST_BACKOFF_S)


def _tried(given_up: GiveUp) -> str:
    if not given_up.retries:
        return ""
    times = "once" if given_up.retries == 1 else f"{given_up.retries} times"
    return f"it was started again {times} without a new checkpoint (failures.{given_up.reason}.retries)"


def _lines(*lines: str) -> str:
    return "\n".join(filter(None, lines))
