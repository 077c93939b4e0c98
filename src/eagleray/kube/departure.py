"""What happens when a training document is deleted: what does it leave on the storage, and who cleans that up?

Objects in the cluster go by themselves, as they belong to it. A finalizer holds it only where its runs are to be
deleted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from eagleray.kube import cleaning, verdict
from eagleray.kube.actions import Action, Apply, Delete, SetFinalizers
from eagleray.kube.observed import Observed, is_leaving
from eagleray.kube.target import GROUP, Manifest
from eagleray.kube.verdict import Verdict, condition
from eagleray.kube.wanted import Invalid, Run
from eagleray.spec.cluster import LifecycleSpec

FINALIZER: Final = f"{GROUP}/runs"
_LET_GO: Final = "set cluster.lifecycle.on_delete to keep to leave the runs where they are"


def hold(lifecycle: LifecycleSpec, observed: Observed) -> tuple[Action, ...]:
    """Have the finalizer where it is needed and nowhere else; before anything is made that it is for."""
    there = tuple(observed.owner["metadata"].get("finalizers", ()))
    if lifecycle.on_delete == "delete" and not observed.is_leaving and FINALIZER not in there:
        return (SetFinalizers(observed.owner, (*there, FINALIZER)),)
    if lifecycle.on_delete == "keep" and FINALIZER in there:
        return _let_go(observed)
    return ()


def plan(wanted: Run | Invalid, observed: Observed, *, now: datetime) -> tuple[Action, ...]:
    """The job first, as it writes; then the runs; then the document itself."""
    if FINALIZER not in observed.owner["metadata"].get("finalizers", ()):
        return ()
    job = observed.child("RayJob", observed.name)
    if job is not None:
        changes: tuple[Action, ...] = () if is_leaving(job) else (Delete(job),)
        return _told("its job is being ended", observed, now=now, changes=changes)
    if isinstance(wanted, Invalid):
        if "document" not in observed.status:  # nothing was ever made of it
            return _let_go(observed)
        return _told(
            f"its runs cannot be deleted, as the document is not valid: {wanted.message}. Mend it, or {_LET_GO}",
            observed,
            now=now,
            is_failed=True,
        )
    cleaner = observed.child("Job", cleaning.name(observed.name))
    if cleaner is None:
        return _told("its runs are being deleted", observed, now=now, changes=(Apply(wanted.cleaning),))
    if _has(cleaner, "Complete"):
        return _let_go(observed)
    if _has(cleaner, "Failed"):
        name = cleaner["metadata"]["name"]
        return _told(
            f"its runs could not be deleted: see `kubectl logs job/{name}`; delete the job to try again, or {_LET_GO}",
            observed,
            now=now,
            is_failed=True,
        )
    return _told("its runs are being deleted", observed, now=now)


def _let_go(observed: Observed) -> tuple[Action, ...]:
    there = observed.owner["metadata"].get("finalizers", ())
    return (SetFinalizers(observed.owner, tuple(each for each in there if each != FINALIZER)),)


def _told(
    message: str,
    observed: Observed,
    *,
    now: datetime,
    changes: tuple[Action, ...] = (),
    is_failed: bool = False,
) -> tuple[Action, ...]:
    refusal = observed.refusal
    if is_failed:
        applied = condition("Applied", False, "CleaningFailed", message)
    else:
        applied = condition("Applied", True, "Applied") if refusal is None else verdict.of_refusal(refusal)
    found = Verdict("Deleting", message, (applied, condition("Ready", False, "Deleting")), changes)
    return verdict.actions(found, observed, now=now)


def _has(job: Manifest, kind: str) -> bool:
    told = job.get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in told)
