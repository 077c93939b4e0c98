"""What is to be done for a training document in the cluster, given what there is now? `perform` carries it out.

Nothing is kept between two plans but what the cluster itself says: the objects, and of the status `document`,
`attempt`, `finished` and `outcome`. So it does not matter when the operator was killed, or who changed what in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from eagleray.kube import conditions, departure, drift, mending, phases, verdict
from eagleray.kube.actions import Action, Apply, Delete, EmitEvent
from eagleray.kube.observed import Observed
from eagleray.kube.phases import JobState, Progress
from eagleray.kube.target import Manifest
from eagleray.kube.verdict import Verdict, condition
from eagleray.kube.wanted import ATTEMPT, DOCUMENT, Invalid, Run, of_attempt

MAX_BACKOFF_S: Final = 3600
LOOK_AGAIN_S: Final = 30.0
"""How often something is looked at that nothing tells of: what other documents do, what KubeRay can."""

_MID_RUN: Final = ("queued", "starting", "running")
_PHASES: Final[dict[JobState, tuple[str, str]]] = {
    "leaving": ("Pending", "the job before is being deleted"),
    "queued": ("Queued", "the job waits to be admitted"),
    "starting": ("Pending", "the job's pods are starting"),
    "running": ("Running", "the job runs"),
}
_PROGRESSING: Final = ("Pending", "Queued", "Running", "Retrying", "Deploying")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a plan is made from."""

    run: Run
    observed: Observed
    job: Manifest | None
    state: JobState
    attempt: int
    progress: Progress
    now: datetime

    @property
    def is_of_another(self) -> bool:
        """Whether the job carries another document than the one that is there now."""
        return self.job is not None and drift.note(self.job, DOCUMENT) != self.run.digest

    @property
    def is_refused(self) -> bool:
        """Whether the document was changed while its run goes on, and says that the run is to end first."""
        return self.is_of_another and self.state in _MID_RUN and self.run.lifecycle.on_change == "refuse"

    @property
    def ended(self) -> str | None:
        """How the run of this very document has ended, if it has."""
        status = self.observed.status
        return status.get("outcome") if status.get("finished") == self.run.digest else None


def plan(wanted: Run | Invalid, observed: Observed, now: datetime, *, begun: Run | None = None) -> tuple[Action, ...]:
    """`begun` is what the document wanted that the job there was made from, where that is another one."""
    if held := departure.hold(wanted.lifecycle, observed):
        return held
    if observed.is_leaving:
        return departure.plan(wanted, observed, now=now)
    if isinstance(wanted, Invalid):
        return verdict.actions(_invalid(wanted, observed, begun, now), observed, now=now)
    return verdict.actions(_life(_see(wanted, observed, now), begun), observed, now=now)


def _see(run: Run, observed: Observed, now: datetime) -> _Seen:
    job = observed.child("RayJob", observed.name)
    told = observed.child("ConfigMap", f"{observed.name}-progress")
    progress = phases.of_progress(told, since=(job or {}).get("status", {}).get("startTime"))
    return _Seen(run, observed, job, phases.of_job(job), _attempt(run, observed, job), progress, now)


def _attempt(run: Run, observed: Observed, job: Manifest | None) -> int:
    status = observed.status
    known = int(status.get("attempt", 1)) if status.get("document") == run.digest else 1
    if job is not None and drift.note(job, DOCUMENT) == run.digest:
        known = max(known, int(drift.note(job, ATTEMPT) or 1))
    return known


def _life(seen: _Seen, begun: Run | None) -> Verdict:
    lifecycle = seen.run.lifecycle
    if seen.ended in ("Promoted", "NotPromoted") and seen.state not in _MID_RUN:
        return _settled(seen, seen.ended)
    if seen.state == "succeeded" and not seen.is_of_another:
        return _settled(seen, "Promoted")
    if lifecycle.cancel:
        return _without_job(seen, "Cancelled", "cancelled: what the run has saved stays on the storage")
    if lifecycle.suspend:
        return _without_job(seen, "Suspended", "suspended: the run goes on from its checkpoint once suspend is false")
    if (blocked := _obstacle(seen)) is not None:
        return _blocked(seen, *blocked)
    if seen.is_refused:
        return _refused(seen, begun)
    if seen.state == "leaving":
        return _verdict(seen, *_PHASES["leaving"])
    if seen.job is not None and (seen.is_of_another or int(drift.note(seen.job, ATTEMPT) or 1) < seen.attempt):
        return _replaced(seen, seen.job)
    match seen.state:
        case "absent":
            return _absent(seen)
        case "failed":
            return _failed(seen)
    return _going_on(seen)


def _obstacle(seen: _Seen) -> tuple[str, str] | None:
    """Why nothing can be made, in a word and in words."""
    observed = seen.observed
    if observed.rival is not None:
        return "NameTaken", (
            f"{observed.rival} registers its models as {observed.name} on the same storage: give this document another "
            "name, or another storage"
        )
    if (there := mending.stranger((*seen.run.beside, seen.run.job), observed)) is not None:
        return "NameInUse", there
    if observed.lacks and seen.state == "absent":
        return "KubeRayLacks", "; ".join(observed.lacks)
    return None


def _absent(seen: _Seen) -> Verdict:
    attempt = seen.attempt
    if seen.ended == "Failed":
        if attempt > seen.run.lifecycle.retries:
            return _settled(seen, "Failed")
        attempt += 1
    made = (*mending.of(seen.run.beside, seen.observed), Apply(of_attempt(seen.run.job, attempt)))
    was_there = seen.observed.status.get("phase") in ("Queued", "Running") and not seen.is_of_another
    if was_there and seen.observed.status.get("document") == seen.run.digest:
        gone = "the RayJob is gone though nobody asked the operator for it: made again, from the newest checkpoint"
        made = (EmitEvent(seen.observed.owner, "Warning", "JobRestored", gone), *made)
    fields = {"document": seen.run.digest, "attempt": attempt, "finished": None, "outcome": None}
    if seen.observed.status.get("document") != seen.run.digest:
        fields |= {"progress": None, "bestMetric": None}
    return _verdict(seen, "Pending", "the job is made", changes=made, fields=fields)


def _replaced(seen: _Seen, job: Manifest) -> Verdict:
    """The job is another document's, or an earlier attempt's; it goes, and another is made once it is gone."""
    if seen.is_of_another:
        message = "the document has changed: its job is made anew"
    else:
        message = f"attempt {seen.attempt} begins"
    fields = {"document": seen.run.digest, "attempt": seen.attempt, "finished": None, "outcome": None}
    return _verdict(seen, "Pending", message, changes=(Delete(job),), fields=fields)


def _going_on(seen: _Seen) -> Verdict:
    assert seen.job is not None
    phase, message = _PHASES[seen.state]
    if seen.state == "running" and seen.progress.phase:
        message = f"{seen.progress.phase}{f' of {seen.progress.run}' if seen.progress.run else ''}"
    meant = of_attempt(_as_admitted(seen.run.job, seen.job), seen.attempt)
    # Of an earlier version of this operator, say: a run that goes on is not disturbed.
    whole = (*seen.run.beside, meant) if drift.is_meant(seen.job, meant) else seen.run.beside
    fields = {"document": seen.run.digest, "attempt": seen.attempt, "finished": None, "outcome": None}
    return _verdict(seen, phase, message, changes=tuple(mending.of(whole, seen.observed)), fields=fields)


def _as_admitted(job: Manifest, there: Manifest) -> Manifest:
    """Whether it is suspended is a matter of the queue, once it is there."""
    if "suspend" not in there["spec"]:
        return job
    return {**job, "spec": {**job["spec"], "suspend": there["spec"]["suspend"]}}


def _refused(seen: _Seen, begun: Run | None) -> Verdict:
    """The run goes on with the document that it began with; so does what is beside it."""
    message = (
        "the document was changed while its run goes on, and cluster.lifecycle.on_change is refuse: the run ends with "
        "the document that it began with, and the new one begins then. Put the old one back, or set on_change: fork"
    )
    phase, told = _PHASES[seen.state]
    changes = () if begun is None else tuple(mending.of(begun.beside, seen.observed))
    return _verdict(seen, phase, told, changes=changes, but=(condition("UpToDate", False, "ChangeRefused", message),))


def _failed(seen: _Seen) -> Verdict:
    assert seen.job is not None
    if seen.progress.outcome == "not-promoted":
        return _settled(seen, "NotPromoted")
    why = seen.progress.message or seen.job.get("status", {}).get("message") or "the job failed"
    lifecycle = seen.run.lifecycle
    if seen.progress.outcome == "refused" or seen.attempt > lifecycle.retries:
        return _settled(seen, "Failed")
    ended = conditions.moment(seen.job.get("status", {}).get("endTime")) or seen.now
    wait_s = min(MAX_BACKOFF_S, lifecycle.backoff_s * 2 ** (seen.attempt - 1))
    left_s = (ended + timedelta(seconds=wait_s) - seen.now).total_seconds()
    message = f"attempt {seen.attempt} of {lifecycle.retries + 1} failed, the next begins after {wait_s} s: {why}"
    if left_s > 0:
        fields = {"document": seen.run.digest, "attempt": seen.attempt}
        return _verdict(seen, "Retrying", message, fields=fields, again_s=left_s)
    fields = {"document": seen.run.digest, "attempt": seen.attempt + 1, "finished": None, "outcome": None}
    return _verdict(seen, "Retrying", message, changes=(Delete(seen.job),), fields=fields)


def _without_job(seen: _Seen, phase: str, message: str) -> Verdict:
    changes = (Delete(seen.job),) if seen.job is not None and seen.state in _MID_RUN else ()
    return _verdict(seen, phase, message, changes=changes)


def _blocked(seen: _Seen, reason: str, message: str) -> Verdict:
    return _verdict(
        seen,
        "Blocked",
        message,
        but=(condition("Applied", False, reason, message),),
        again_s=LOOK_AGAIN_S,
    )


def _settled(seen: _Seen, outcome: str) -> Verdict:
    """The run has come to its end."""
    fields = {"document": seen.run.digest, "attempt": seen.attempt, "finished": seen.run.digest, "outcome": outcome}
    if outcome == "Failed":
        why = seen.progress.message or (seen.job or {}).get("status", {}).get("message") or "the job failed"
        why = seen.observed.status.get("message", why) if seen.job is None else f"the run failed: {why}"
        return _verdict(seen, "Failed", why, fields=fields)
    if outcome == "NotPromoted":
        why = seen.progress.message or "the model does not meet its gate"
        why = seen.observed.status.get("message", why) if seen.job is None else f"not promoted: {why}"
        return _verdict(seen, "NotPromoted", why, fields=fields)
    if seen.run.endpoint is None:
        return _verdict(seen, "Promoted", "the model is registered and promoted", fields=fields)
    if (there := mending.stranger((seen.run.endpoint,), seen.observed)) is not None:
        return _verdict(seen, "Blocked", there, fields=fields, but=(condition("Applied", False, "NameInUse", there),))
    is_ready, told = _endpoint(seen)
    return _verdict(seen, "Serving" if is_ready else "Deploying", told, fields=fields)


def _endpoint(seen: _Seen) -> tuple[bool, str]:
    """Whether the endpoint answers, and what it says of itself."""
    there = seen.observed.child("Endpoint", seen.observed.name)
    status = (there or {}).get("status", {})
    is_ready = conditions.is_true(status.get("conditions", []), "Ready")
    waiting = "the endpoint is made" if there is None else f"the endpoint starts: {status.get('message', '')}"
    return is_ready, "the endpoint answers" if is_ready else waiting.rstrip(": ")


def _endpoint_changes(seen: _Seen, *, is_promoted: bool) -> tuple[Action, ...]:
    """What has been promoted once goes on to answer while the next run is made."""
    there = seen.observed.child("Endpoint", seen.observed.name)
    if seen.run.endpoint is None:
        return () if there is None or "deletionTimestamp" in there["metadata"] else (Delete(there),)
    if there is None and not is_promoted:
        return ()
    if mending.stranger((seen.run.endpoint,), seen.observed) is not None:
        return ()
    return tuple(mending.of((seen.run.endpoint,), seen.observed))


def _invalid(wanted: Invalid, observed: Observed, begun: Run | None, now: datetime) -> Verdict:
    """What goes on with the document before, goes on."""
    why = condition("Valid", False, "InvalidDocument", wanted.message)
    if begun is not None and not (wanted.lifecycle.cancel or wanted.lifecycle.suspend):
        seen = _see(begun, observed, now)
        if seen.state in _MID_RUN:
            going = _going_on(seen)
            return Verdict(going.phase, going.message, _swapped(going.conditions, (why,)), going.changes, going.fields)
    job = observed.child("RayJob", observed.name)
    ends = (
        job is not None
        and (wanted.lifecycle.cancel or wanted.lifecycle.suspend)
        and "deletionTimestamp" not in job["metadata"]
    )
    changes = (Delete(job),) if ends and job is not None else ()
    return Verdict(
        "Invalid",
        wanted.message,
        (why, condition("Progressing", False, "Invalid"), condition("Ready", False, "Invalid")),
        changes,
    )


def _verdict(
    seen: _Seen,
    phase: str,
    message: str,
    *,
    changes: tuple[Action, ...] = (),
    fields: dict[str, Any] | None = None,
    but: tuple[conditions.Condition, ...] = (),
    again_s: float | None = None,
) -> Verdict:
    """`but` are the conditions that are not as usual."""
    is_promoted = phase in ("Promoted", "Deploying", "Serving")
    changes = (*changes, *_endpoint_changes(seen, is_promoted=is_promoted))
    usual = _conditions(seen, phase, message, is_promoted=is_promoted)
    if again_s is None and phase == "Pending":
        again_s = LOOK_AGAIN_S  # what is stuck says nothing
    return Verdict(phase, message, _swapped(usual, but), changes, {**_told(seen), **(fields or {})}, again_s)


def _conditions(seen: _Seen, phase: str, message: str, *, is_promoted: bool) -> tuple[conditions.Condition, ...]:
    pods = seen.observed.pods if seen.state in _MID_RUN else ()
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


def _told(seen: _Seen) -> dict[str, Any]:
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


def _swapped(
    usual: tuple[conditions.Condition, ...], but: tuple[conditions.Condition, ...]
) -> tuple[conditions.Condition, ...]:
    other = {each.type: each for each in but}
    return tuple(other.get(each.type, each) for each in usual)
