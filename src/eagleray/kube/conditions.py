"""What holds of a document in the cluster, and since when? Conditions, as Kubernetes' API conventions have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

Truth = Literal["True", "False", "Unknown"]
MAX_MESSAGE: Final = 4000
WATCHED: Final = ("Valid", "Applied", "PodsHealthy", "UpToDate")
"""Those whose absence is worth a warning of its own."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that holds or does not, and why."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def written(new: Iterable[Condition], before: Sequence[dict[str, Any]], *, generation: int, now: datetime) -> list[Any]:
    """As the status has them. One whose truth has not changed keeps the time since when it holds."""
    known = {each["type"]: each for each in before}
    return [_written(each, known.get(each.type), generation=generation, now=now) for each in new]


def changed(new: Iterable[Condition], before: Sequence[dict[str, Any]]) -> list[Condition]:
    """Those that were otherwise, or for another reason."""
    known = {each["type"]: (each["status"], each["reason"]) for each in before}
    return [each for each in new if known.get(each.type) != (each.status, each.reason)]


def is_true(conditions: Sequence[dict[str, Any]], kind: str) -> bool:
    """Whether one of them holds."""
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)


def timestamp(now: datetime) -> str:
    """A time as Kubernetes writes it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str | None) -> datetime | None:
    """Read such a time; None where there is none, or it is something else."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _written(new: Condition, old: dict[str, Any] | None, *, generation: int, now: datetime) -> dict[str, Any]:
    since = old["lastTransitionTime"] if old is not None and old["status"] == new.status else timestamp(now)
    return {
        "type": new.type,
        "status": new.status,
        "reason": new.reason,
        "message": new.message[:MAX_MESSAGE],
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }
