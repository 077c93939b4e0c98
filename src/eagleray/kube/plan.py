"""What is to be done for a training document in the cluster, given what there is now? `perform` carries it out.

Nothing is kept between two plans but what the cluster itself says: the objects, and of the status `document`,
`attempt`, `finished` and `outcome`. So it does not matter when the operator was killed, or who changed what in between.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from eagleray.kube import conditions, departure, drift, mending, story, verdict
from eagleray.kube import seen as seens
from eagleray.kube.actions import Action, Apply, Delete, EmitEvent
from eagleray.kube.observed import Observed
from eagleray.kube.phases import JobState
from eagleray.kube.seen import MID_RUN, Seen, attempt_of
from eagleray.kube.target import Manifest
from eagleray.kube.verdict import Verdict, condition
from eagleray.kube.wanted import Invalid, Run, of_attempt

MAX_BACKOFF_S: Final = 3600
_PHASES: Final[dict[JobState, tuple[str, str]]] = {
    "leaving": ("Pending", "the job before is being deleted"),
    "queued": ("Queued", "the job waits to be admitted"),
    "starting": ("Pending", "the job's pods are starting"),
    "running": ("Running", "the job runs"),
}


def plan(wanted: Run | Invalid, observed: Observed, now: datetime, *, begun: Run | None = None) -> tuple[Action, ...]:
    """`begun` is what the document wanted that the job there was made from, where that is another one."""
    if held := departure.hold(wanted.lifecycle, observed):
        return held
    if observed.is_leaving:
        return departure.plan(wanted, observed, now=now)
    if isinstance(wanted, Invalid):
        return verdict.actions(_invalid(wanted, observed, begun, now), observed, now=now)
    return verdict.actions(_life(seens.look(wanted, observed, now), begun), observed, now=now)


def _life(seen: Seen, begun: Run | None) -> Verdict:
    lifecycle = seen.run.lifecycle
    if seen.ended in ("Promoted", "NotPromoted") and seen.state not in MID_RUN:
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
        return story.told(seen, *_PHASES["leaving"])
    if seen.job is not None and (seen.is_of_another or attempt_of(seen.job) < seen.attempt):
        return _replaced(seen, seen.job)
    match seen.state:
        case "absent":
            return _absent(seen)
        case "failed":
            return _failed(seen)
    return _going_on(seen)


def _obstacle(seen: Seen) -> tuple[str, str] | None:
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


def _absent(seen: Seen) -> Verdict:
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
    return story.told(seen, "Pending", "the job is made", changes=made, fields=fields)


def _replaced(seen: Seen, job: Manifest) -> Verdict:
    """The job is another document's, or an earlier attempt's; it goes, and another is made once it is gone."""
    if seen.is_of_another:
        message = "the document has changed: its job is made anew"
    else:
        message = f"attempt {seen.attempt} begins"
    fields = {"document": seen.run.digest, "attempt": seen.attempt, "finished": None, "outcome": None}
    return story.told(seen, "Pending", message, changes=(Delete(job),), fields=fields)


def _going_on(seen: Seen) -> Verdict:
    assert seen.job is not None
    phase, message = _PHASES[seen.state]
    if seen.state == "running" and seen.progress.phase:
        message = f"{seen.progress.phase}{f' of {seen.progress.run}' if seen.progress.run else ''}"
    meant = of_attempt(_as_admitted(seen.run.job, seen.job), seen.attempt)
    # Of an earlier version of this operator, say: a run that goes on is not disturbed.
    whole = (*seen.run.beside, meant) if drift.is_meant(seen.job, meant) else seen.run.beside
    fields = {"document": seen.run.digest, "attempt": seen.attempt, "finished": None, "outcome": None}
    return story.told(seen, phase, message, changes=tuple(mending.of(whole, seen.observed)), fields=fields)


def _as_admitted(job: Manifest, there: Manifest) -> Manifest:
    """Whether it is suspended is a matter of the queue, once it is there."""
    if "suspend" not in there["spec"]:
        return job
    return {**job, "spec": {**job["spec"], "suspend": there["spec"]["suspend"]}}


def _refused(seen: Seen, begun: Run | None) -> Verdict:
    """The run goes on with the document that it began with; so does what is beside it."""
    message = (
        "the document was changed while its run goes on, and cluster.lifecycle.on_change is refuse: the run ends with "
        "the document that it began with, and the new one begins then. Put the old one back, or set on_change: fork"
    )
    phase, told = _PHASES[seen.state]
    changes = () if begun is None else tuple(mending.of(begun.beside, seen.observed))
    return story.told(seen, phase, told, changes=changes, but=(condition("UpToDate", False, "ChangeRefused", message),))


def _failed(seen: Seen) -> Verdict:
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
        return story.told(seen, "Retrying", message, fields=fields, again_s=left_s)
    fields = {"document": seen.run.digest, "attempt": seen.attempt + 1, "finished": None, "outcome": None}
    return story.told(seen, "Retrying", message, changes=(Delete(seen.job),), fields=fields)


def _without_job(seen: Seen, phase: str, message: str) -> Verdict:
    changes = (Delete(seen.job),) if seen.job is not None and seen.state in MID_RUN else ()
    return story.told(seen, phase, message, changes=changes)


def _blocked(seen: Seen, reason: str, message: str) -> Verdict:
    return story.told(
        seen,
        "Blocked",
        message,
        but=(condition("Applied", False, reason, message),),
        again_s=story.LOOK_AGAIN_S,
    )


def _settled(seen: Seen, outcome: str) -> Verdict:
    """The run has come to its end."""
    fields = {"document": seen.run.digest, "attempt": seen.attempt, "finished": seen.run.digest, "outcome": outcome}
    if outcome == "Failed":
        why = seen.progress.message or (seen.job or {}).get("status", {}).get("message") or "the job failed"
        why = seen.observed.status.get("message", why) if seen.job is None else f"the run failed: {why}"
        return story.told(seen, "Failed", why, fields=fields)
    if outcome == "NotPromoted":
        why = seen.progress.message or "the model does not meet its gate"
        why = seen.observed.status.get("message", why) if seen.job is None else f"not promoted: {why}"
        return story.told(seen, "NotPromoted", why, fields=fields)
    if seen.run.endpoint is None:
        return story.told(seen, "Promoted", "the model is registered and promoted", fields=fields)
    if (there := mending.stranger((seen.run.endpoint,), seen.observed)) is not None:
        return story.told(seen, "Blocked", there, fields=fields, but=(condition("Applied", False, "NameInUse", there),))
    is_ready, told = _endpoint(seen)
    return story.told(seen, "Serving" if is_ready else "Deploying", told, fields=fields)


def _endpoint(seen: Seen) -> tuple[bool, str]:
    """Whether the endpoint answers, and what it says of itself."""
    there = seen.observed.child("Endpoint", seen.observed.name)
    status = (there or {}).get("status", {})
    is_ready = conditions.is_true(status.get("conditions", []), "Ready")
    waiting = "the endpoint is made" if there is None else f"the endpoint starts: {status.get('message', '')}"
    return is_ready, "the endpoint answers" if is_ready else waiting.rstrip(": ")


def _invalid(wanted: Invalid, observed: Observed, begun: Run | None, now: datetime) -> Verdict:
    """What goes on with the document before, goes on."""
    why = condition("Valid", False, "InvalidDocument", wanted.message)
    if begun is not None and not (wanted.lifecycle.cancel or wanted.lifecycle.suspend):
        seen = seens.look(begun, observed, now)
        if seen.state in MID_RUN:
            going = _going_on(seen)
            return replace(going, conditions=story.swapped(going.conditions, (why,)))
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
