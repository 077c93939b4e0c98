"""How does a version that was promoted take the place of the one before?

A pure function: the record as it is, what the alias says and what was observed in, the next record out. The coordinator
writes what it returns; replicas do what the record says. Everything that must survive a restart is in the record.

    stable -> proving -> loading -> (shadow ->) shifting, step by step -> stable
                 any of them -> rolled-back, which serves `stable` as before
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from eagleray.spec.endpoint import RolloutSpec
from eagleray.store.registry import AliasChange
from eagleray.store.rollouts import RolloutRecord

MIN_ERRORS = 3
"""Fewer failed requests may have any cause."""
LOADING_S = 600.0
"""A version that replicas could not load in this time is given up."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a version did since the phase began, over all replicas."""

    num_requests: int = 0
    num_errors: int = 0
    latencies_s: tuple[float, ...] = ()  # of answers in the model and its queue; the newest of them
    num_compared: int = 0  # answers to copies of requests
    num_different: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.num_requests + other.num_requests,
            self.num_errors + other.num_errors,
            (*self.latencies_s, *other.latencies_s)[-2000:],
            self.num_compared + other.num_compared,
            self.num_different + other.num_different,
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """What the coordinator knows of a rollout."""

    proof: tuple[str, ...] | None = None  # objections of the process that tried the candidate; None: not there yet
    loaded: frozenset[int] = frozenset()  # versions that every replica has in memory
    refusals: Mapping[int, str] = field(default_factory=dict)  # why a replica could not load a version
    traffic: Mapping[int, Traffic] = field(default_factory=dict)


def begin(change: AliasChange, *, now: datetime) -> RolloutRecord:
    """The first record of a model and alias."""
    return RolloutRecord(
        name=change.name,
        alias=change.alias,
        number=1,
        stable=change.version,
        candidate=None,
        share=0.0,
        phase="stable",
        reason="first version",
        at=now,
        facts={"change": change.number},
    )


def advance(
    record: RolloutRecord, change: AliasChange, observed: Observed, *, spec: RolloutSpec, now: datetime
) -> RolloutRecord | None:
    """The record that follows, or None where it stays as it is."""
    if change.number > record.facts["change"]:
        return _turn_to(record, change, now=now)
    # An older change was read before another endpoint wrote this record: the next look sees what it saw.
    if record.candidate is None or change.number < record.facts["change"]:
        return None
    objections = list(_objections(record, record.candidate, observed, spec=spec, now=now))
    if objections:
        return _next(record, now, phase="rolled-back", candidate=None, share=0.0, reason="; ".join(objections))
    return _onward(record, record.candidate, change, observed, spec=spec, now=now)


def _turn_to(record: RolloutRecord, change: AliasChange, *, now: datetime) -> RolloutRecord:
    """The alias has moved."""
    facts = {"change": change.number}
    if change.action == "remove":
        reason = f"{change.alias} was removed by {change.by}: version {record.stable} goes on"
        return _next(record, now, phase="stable", candidate=None, share=0.0, reason=reason, facts=facts)
    if change.version == record.stable:
        reason = f"{change.alias} is version {change.version}, which is served"
        return _next(record, now, phase="stable", candidate=None, share=0.0, reason=reason, facts=facts)
    reason = f"{change.action} of version {change.version} by {change.by}"
    return _next(record, now, phase="proving", candidate=change.version, share=0.0, reason=reason, facts=facts)


def _onward(
    record: RolloutRecord, candidate: int, change: AliasChange, observed: Observed, *, spec: RolloutSpec, now: datetime
) -> RolloutRecord | None:
    """The next phase of a candidate that nothing speaks against."""
    has_watched = (now - record.at).total_seconds() >= spec.watch_s
    match record.phase:
        case "proving":
            if observed.proof is None:
                return None
            return _next(record, now, phase="loading", reason="its golden answers are right")
        case "loading":
            if candidate not in observed.loaded:
                return None
            # A rollback goes to a version that has served before: it is wanted now.
            steps = (1.0,) if change.action == "rollback" else spec.steps
            if spec.shadow and change.action != "rollback":
                return _next(record, now, phase="shadow", reason="every replica has loaded it")
            return _next(record, now, phase="shifting", share=steps[0], reason="every replica has loaded it")
        case "shadow":
            if not has_watched:
                return None
            facts = {**record.facts, **_comparison(observed.traffic.get(candidate, Traffic()))}
            return _next(
                record, now, phase="shifting", share=spec.steps[0], reason="compared with copied requests", facts=facts
            )
        case "shifting":
            if not has_watched:
                return None
            higher = [step for step in spec.steps if step > record.share]
            if higher:
                return _next(
                    record, now, share=higher[0], reason=f"no worse with {100 * record.share:g}% of the requests"
                )
            return _next(record, now, phase="stable", stable=candidate, candidate=None, share=0.0, reason="took over")
    return None


def _objections(
    record: RolloutRecord, candidate: int, observed: Observed, *, spec: RolloutSpec, now: datetime
) -> Iterator[str]:
    if record.phase == "proving":
        yield from observed.proof or ()
        return
    if candidate in observed.refusals:
        yield f"a replica could not load it: {observed.refusals[candidate]}"
    if record.phase == "loading" and (now - record.at).total_seconds() > LOADING_S:
        yield f"not every replica has loaded it after {LOADING_S:.0f} s"
    mine, old = (observed.traffic.get(version, Traffic()) for version in (candidate, record.stable))
    rate, old_rate = _error_rate(mine), _error_rate(old)
    if mine.num_errors >= MIN_ERRORS and rate > old_rate + spec.max_error_rate:
        yield f"{rate:.1%} of its requests failed, {old_rate:.1%} of version {record.stable}'s"
    if min(len(mine.latencies_s), len(old.latencies_s)) < spec.min_requests:
        return
    latency, old_latency = median(mine.latencies_s), median(old.latencies_s)
    if latency > old_latency * spec.max_latency_ratio:
        was = f"that of version {record.stable} is {1000 * old_latency:.0f} ms"
        yield f"its median latency is {1000 * latency:.0f} ms, {was}"


def _error_rate(traffic: Traffic) -> float:
    return traffic.num_errors / traffic.num_requests if traffic.num_requests else 0.0


def _comparison(traffic: Traffic) -> dict[str, int]:
    return {"compared": traffic.num_compared, "different": traffic.num_different}


def _next(record: RolloutRecord, now: datetime, **changes: object) -> RolloutRecord:
    return record.model_copy(update={"number": record.number + 1, "at": now, **changes})
