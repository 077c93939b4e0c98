"""What has been found of a document, and how is it told: status, conditions and events, each only where it changed?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from eagleray.kube import conditions
from eagleray.kube.actions import Action, EmitEvent, Requeue, SetStatus
from eagleray.kube.conditions import Condition, Truth
from eagleray.kube.observed import Observed, Refusal

WARNINGS: Final = ("Failed", "NotPromoted", "Retrying", "RolledBack")
"""Phases that nobody wants to come to."""
# Phases whose reason is a condition, which has an event of its own.
_TOLD_BY_CONDITION: Final = ("Invalid", "Blocked")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is found, and what is to be done about it."""

    phase: str
    message: str
    conditions: tuple[Condition, ...] = ()
    changes: tuple[Action, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    """What else the status says; a key with None goes."""
    again_s: float | None = None


def actions(verdict: Verdict, observed: Observed, *, now: datetime) -> tuple[Action, ...]:
    """Tell it, then act: what the status remembers must be there before what it speaks of is gone."""
    before = observed.status
    new = _status(verdict, observed, now=now)
    told: list[Action] = []
    if _ordered(new) != _ordered(before):
        told = [*_events(verdict, observed), SetStatus(observed.owner, new)]
    later = [] if verdict.again_s is None else [Requeue(max(1.0, verdict.again_s))]
    return (*told, *verdict.changes, *later)


def condition(kind: str, holds: bool | None, reason: str, message: str = "") -> Condition:
    """One of a verdict; None where nobody can say yet."""
    truths: dict[bool | None, Truth] = {True: "True", False: "False", None: "Unknown"}
    return Condition(kind, truths[holds], reason, message)


def _status(verdict: Verdict, observed: Observed, *, now: datetime) -> dict[str, Any]:
    before = observed.status
    kept = {key: value for key, value in before.items() if key not in ("conditions", *verdict.fields)}
    written = conditions.written(
        verdict.conditions, before.get("conditions", []), generation=observed.generation, now=now
    )
    new = {key: value for key, value in verdict.fields.items() if value is not None}
    return {
        **kept,
        **new,
        "phase": verdict.phase,
        "message": verdict.message[: conditions.MAX_MESSAGE],
        "observedGeneration": observed.generation,
        "conditions": written,
    }


def _ordered(status: dict[str, Any]) -> dict[str, Any]:
    """The server keeps conditions in an order of its own."""
    return {**status, "conditions": sorted(status.get("conditions", []), key=lambda each: str(each["type"]))}


def _events(verdict: Verdict, observed: Observed) -> Iterator[EmitEvent]:
    before = observed.status
    if verdict.phase != before.get("phase") and verdict.phase not in _TOLD_BY_CONDITION:
        kind: Literal["Normal", "Warning"] = "Warning" if verdict.phase in WARNINGS else "Normal"
        yield EmitEvent(observed.owner, kind, verdict.phase, verdict.message)
    known = {each["type"]: each["status"] for each in before.get("conditions", [])}
    for each in conditions.changed(verdict.conditions, before.get("conditions", [])):
        if each.type not in conditions.WATCHED:
            continue
        if each.status == "False":
            yield EmitEvent(observed.owner, "Warning", each.reason, each.message)
        elif known.get(each.type) == "False":
            yield EmitEvent(observed.owner, "Normal", "Mended", f"{each.type}: {each.message or 'holds again'}")


def of_refusal(refusal: Refusal) -> Condition:
    """What the API server's refusal means for whoever wrote the document, or runs the operator."""
    message = refusal.message
    if refusal.status == 403 and "exceeded quota" in message:
        return condition("Applied", False, "QuotaExceeded", f"{message}: free some, or have the quota raised")
    if refusal.status == 403:
        return condition("Applied", False, "Forbidden", f"{message}: add this to the operator's Role in the namespace")
    if refusal.status == 404:
        return condition(
            "Applied", False, "KindMissing", f"{message}: install the CustomResourceDefinition of this kind"
        )
    return condition("Applied", False, "Refused", message)
