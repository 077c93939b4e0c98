"""What is to be done for a serving document in the cluster, and what if what it asks for does not come to answer?

New weights are no matter of this: a RayService names aliases, and follows them. Where its pods must change, KubeRay
changes them by the strategy that was rendered. What has answered once is kept in a ConfigMap, and applied again where
its successor has not come to answer in time.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final

from eagleray.kube import conditions, drift, mending, phases, verdict
from eagleray.kube.actions import Action
from eagleray.kube.conditions import Condition
from eagleray.kube.observed import Observed
from eagleray.kube.phases import ServiceState
from eagleray.kube.target import GROUP, PART, Manifest
from eagleray.kube.verdict import Verdict, condition
from eagleray.kube.wanted import Invalid, Service

LOOK_AGAIN_S: Final = 30.0
_KEPT: Final = "service"
_PHASES: Final[dict[ServiceState, tuple[str, str]]] = {
    "absent": ("Starting", "the endpoint is made"),
    "leaving": ("Starting", "the endpoint before is being deleted"),
    "queued": ("Queued", "the endpoint waits to be admitted"),
    "starting": ("Starting", "the endpoint's pods are starting"),
    "broken": ("Starting", "the application does not come to answer: see the logs of Ray Serve"),
    "replacing": ("Updating", "the endpoint answers, and its pods are being replaced"),
    "ready": ("Serving", "the endpoint answers"),
}


def plan(wanted: Service | Invalid, observed: Observed, now: datetime) -> tuple[Action, ...]:
    """Decide; Kubernetes itself clears away what belonged to a document that is deleted."""
    if observed.is_leaving:
        return ()
    return verdict.actions(_decide(wanted, observed, now), observed, now=now)


def good_name(name: str) -> str:
    """The ConfigMap that keeps what has answered."""
    return f"{name}-good"


def _decide(wanted: Service | Invalid, observed: Observed, now: datetime) -> Verdict:
    service = observed.child("RayService", observed.name)
    state = phases.of_service(service)
    is_ready = state in ("ready", "replacing")
    if isinstance(wanted, Invalid):
        why = condition("Valid", False, "InvalidDocument", wanted.message)
        return Verdict("Invalid", wanted.message, (why, condition("Ready", is_ready, state.capitalize())))
    if (blocked := _obstacle(wanted, observed, state)) is not None:
        applied = condition("Applied", False, *blocked)
        told = (condition("Valid", True, "Valid"), applied, condition("Ready", is_ready, state.capitalize()))
        return Verdict("Blocked", blocked[1], told, again_s=LOOK_AGAIN_S)
    failed = observed.status.get("failed")
    good = _good(observed)
    if failed == drift.note(wanted.service, drift.APPLIED) and good is not None:
        return _rolled_back(wanted, good, observed, state, now)
    if _is_overdue(wanted, observed, service, state, good, now=now):
        return _failed(wanted, observed)
    changes = tuple(mending.of((*wanted.beside, wanted.service), observed))
    is_applied = service is not None and drift.is_meant(service, wanted.service)
    if state == "ready" and is_applied:
        changes = (*changes, *mending.of((_keeping(wanted),), observed))
    phase, message = _PHASES[state] if is_applied or not is_ready else _PHASES["replacing"]
    return _verdict(wanted, observed, phase, message, state, changes=changes, failed=None, now=now)


def _obstacle(wanted: Service, observed: Observed, state: ServiceState) -> tuple[str, str] | None:
    if (there := mending.stranger((*wanted.beside, wanted.service), observed)) is not None:
        return "NameInUse", there
    if observed.lacks and state == "absent":
        return "KubeRayLacks", "; ".join(observed.lacks)
    return None


def _good(observed: Observed) -> Manifest | None:
    """What has answered last."""
    kept = observed.child("ConfigMap", good_name(observed.name))
    text = ((kept or {}).get("data") or {}).get(_KEPT)
    try:
        return json.loads(text) if text else None
    except ValueError:  # somebody has written there; it is put back once the endpoint answers
        return None


def _keeping(wanted: Service) -> Manifest:
    metadata = wanted.service["metadata"]
    return drift.marked(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": good_name(metadata["name"]),
                "namespace": metadata["namespace"],
                "labels": metadata["labels"],
                "ownerReferences": metadata["ownerReferences"],
            },
            "data": {_KEPT: json.dumps(wanted.service, sort_keys=True)},
        }
    )


def _is_overdue(
    wanted: Service,
    observed: Observed,
    service: Manifest | None,
    state: ServiceState,
    good: Manifest | None,
    *,
    now: datetime,
) -> bool:
    """Whether what is asked for now has had its time, and something else has answered before."""
    if service is None or good is None or state in ("ready", "queued") or drift.is_meant(good, wanted.service):
        return False
    if not drift.is_meant(service, wanted.service):
        return False
    since = conditions.moment(_begun(wanted, observed, now))
    return since is not None and now - since >= timedelta(seconds=wanted.start_deadline_s)


def _begun(wanted: Service, observed: Observed, now: datetime) -> str:
    """Since when it is this that is asked for."""
    status = observed.status
    is_known = status.get("rollout") == drift.note(wanted.service, drift.APPLIED)
    return str(status["rolloutSince"]) if is_known else conditions.timestamp(now)


def _failed(wanted: Service, observed: Observed) -> Verdict:
    """Remember it first: what is applied next time depends on it."""
    message = f"did not come to answer within {wanted.start_deadline_s} s: what has answered before is put back"
    told = (
        condition("Valid", True, "Valid"),
        condition("Applied", True, "Applied"),
        condition("UpToDate", False, "RolloutFailed", message),
        condition("Progressing", True, "RollingBack", message),
        condition("Ready", conditions.is_true(observed.status.get("conditions", []), "Ready"), "RollingBack"),
    )
    fields = {"failed": drift.note(wanted.service, drift.APPLIED)}
    return Verdict("RolledBack", message, told, fields=fields, again_s=1.0)


def _rolled_back(wanted: Service, good: Manifest, observed: Observed, state: ServiceState, now: datetime) -> Verdict:
    """Until the document is changed again."""
    message = (
        f"the document asks for what did not come to answer within {wanted.start_deadline_s} s; the endpoint is what "
        "it was before: change the document"
    )
    changes = tuple(mending.of((good,), observed))
    failed = drift.note(wanted.service, drift.APPLIED)
    old = condition("UpToDate", False, "RolloutFailed", message)
    return _verdict(wanted, observed, "RolledBack", message, state, changes=changes, failed=failed, now=now, but=old)


def _verdict(
    wanted: Service,
    observed: Observed,
    phase: str,
    message: str,
    state: ServiceState,
    *,
    changes: tuple[Action, ...],
    failed: str | None,
    now: datetime,
    but: Condition | None = None,
) -> Verdict:
    is_moving = state not in ("ready",) or phase == "Updating"
    service = observed.child("RayService", observed.name) or {}
    since = service.get("metadata", {}).get("creationTimestamp")
    wrong = phases.trouble(observed.pods, state=state, since=since, now=now)
    refusal = observed.refusal
    healthy = condition("PodsHealthy", True if state == "ready" else None, state.capitalize())
    told = (
        condition("Valid", True, "Valid"),
        condition("Applied", True, "Applied") if refusal is None else verdict.of_refusal(refusal),
        healthy if wrong is None else condition("PodsHealthy", False, wrong.reason, wrong.message),
        but or condition("UpToDate", True, "UpToDate"),
        condition("Progressing", is_moving, phase, message if is_moving else ""),
        condition("Ready", state in ("ready", "replacing"), phase),
    )
    fields: dict[str, Any] = {
        "failed": failed,
        "rollout": drift.note(wanted.service, drift.APPLIED),
        "rolloutSince": _begun(wanted, observed, now),
        "endpointURL": wanted.url,
        "replicas": int(service.get("status", {}).get("numServeEndpoints") or 0),
        "selector": ",".join(f"{key}={value}" for key, value in _selector(wanted).items()),
    }
    return Verdict(phase, message, told, changes, fields, LOOK_AGAIN_S if is_moving else None)


def _selector(wanted: Service) -> dict[str, str]:
    labels = wanted.service["metadata"]["labels"]
    return {key: labels[key] for key in sorted(labels) if key in (f"{GROUP}/name", PART)}
