"""How is what was found of a training document told, and what is done beside: conditions, figures, the endpoint?"""

from __future__ import annotations

from typing import Any, Final

from eagleray.kube import mending, phases, verdict
from eagleray.kube.actions import Action, Delete
from eagleray.kube.conditions import Condition
from eagleray.kube.seen import MID_RUN, Seen
from eagleray.kube.verdict import Verdict, condition

LOOK_AGAIN_S: Final = 30.0
"""How often something is looked at that nothing tells of: what other documents do, what KubeRay can."""

_PROGRESSING: Final = ("Pending", "Queued", "Running", "Retrying", "Deploying")


def told(
    seen: Seen,
    phase: str,
    message: str,
    *,
    changes: tuple[Action, ...] = (),
    fields: dict[str, Any] | None = None,
    but: tuple[Condition, ...] = (),
    again_s: float | None = None,
) -> Verdict:
    """A verdict on a valid document. `but` are the conditions that are not as usual."""
    is_promoted = phase in ("Promoted", "Deploying", "Serving")
    changes = (*changes, *_endpoint_changes(seen, is_promoted=is_promoted))
    usual = _conditions(seen, phase, message, is_promoted=is_promoted)
    if again_s is None and phase == "Pending":
        again_s = LOOK_AGAIN_S  # what is stuck says nothing
    return Verdict(phase, message, swapped(usual, but), changes, {**_figures(seen), **(fields or {})}, again_s)


def _conditions(seen: Seen, phase: str, message: str, *, is_promoted: bool) -> tuple[Condition, ...]:
    pods = seen.observed.pods if seen.state in MID_RUN else ()
    since = (seen.job or {}).get("metadata", {}).get("creationTimestamp")
    wrong = phases.trouble(pods, state=seen.state, since=since, now=seen.now)
    refusal = seen.observed.refusal
    ended = {"Promoted": True, "Deploying": True, "Serving": True, "NotPromoted": False}.get(phase)
    return (
        condition("Valid", True, "Valid"),
        condition("Applied", True, "Applied") if refusal is None else verdict.of_refusal(refusal),
        condition("PodsHealthy", False, wrong.reason, wrong.message)
        if wrong is not None
        else condition(
            "PodsHealthy",
            True if seen.state == "running" else None,
            "Running" if seen.state == "running" else "NotRunning",
        ),
        condition("UpToDate", True, "UpToDate"),
        condition("Progressing", phase in _PROGRESSING, phase, message if phase in _PROGRESSING else ""),
        condition("Promoted", ended, phase if ended is not None else "NotYet", message if ended is False else ""),
        condition("Ready", phase in ("Promoted", "Serving"), phase),
    )


def _figures(seen: Seen) -> dict[str, Any]:
    """What the job tells of itself, for whoever looks at the document."""
    progress, job = seen.progress, (seen.job or {}).get("status", {})
    told: dict[str, Any] = {
        "run": progress.run,
        "progress": progress.steps,
        "bestMetric": progress.metric,
        "version": int(progress.version) if progress.version.isdecimal() else None,
        "endpointURL": (seen.observed.child("Endpoint", seen.observed.name) or {}).get("status", {}).get("endpointURL"),
        "restarts": int(job.get("failed") or 0) + seen.attempt - 1,
    }
    return {key: value for key, value in told.items() if value not in (None, "")}


def swapped(usual: tuple[Condition, ...], but: tuple[Condition, ...]) -> tuple[Condition, ...]:
    other = {each.type: each for each in but}
    return tuple(other.get(each.type, each) for each in usual)


def _endpoint_changes(seen: Seen, *, is_promoted: bool) -> tuple[Action, ...]:
    """What has been promoted once goes on to answer while the next run is made."""
    there = seen.observed.child("Endpoint", seen.observed.name)
    if seen.run.endpoint is None:
        return () if there is None or "deletionTimestamp" in there["metadata"] else (Delete(there),)
    if there is None and not is_promoted:
        return ()
    if mending.stranger((seen.run.endpoint,), seen.observed) is not None:
        return ()
    return tuple(mending.of((seen.run.endpoint,), seen.observed))
