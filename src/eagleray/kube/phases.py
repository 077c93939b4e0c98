"""Where in its life is what a document has become in the cluster: its job, its endpoint, its pods?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from eagleray.kube.conditions import moment
from eagleray.kube.target import Manifest

JobState = Literal["absent", "leaving", "queued", "starting", "running", "succeeded", "failed"]
ServiceState = Literal["absent", "leaving", "queued", "starting", "ready", "replacing", "broken"]

STUCK_AFTER: Final = timedelta(minutes=5)
"""So long pods may need before something is told to be wrong with them."""
PULL_GRACE: Final = timedelta(seconds=30)

_FAILED: Final = ("Failed", "ValidationFailed")
_STARTING: Final = ("", "New", "Initializing", "Waiting", "Retrying", "Scheduling")
_PULL: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_MISSING: Final = ("CreateContainerConfigError", "CreateContainerError")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the pods of a document."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run tells of itself, in its ConfigMap."""

    phase: str = ""  # the step of `eagleray up`
    run: str = ""
    steps: str = ""  # 120/600
    metric: str = ""  # f1_macro 0.912
    version: str = ""
    outcome: str = ""  # promoted, not-promoted, refused, failed; "" while it goes on
    message: str = ""
    updated_at: str = ""


def of_job(job: Manifest | None) -> JobState:
    """What a RayJob says of itself."""
    if job is None:
        return "absent"
    if "deletionTimestamp" in job["metadata"]:
        return "leaving"
    status = job.get("status", {})
    deployed, ran = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
    if deployed in _FAILED or (deployed == "Complete" and ran in ("FAILED", "STOPPED")):
        return "failed"
    if deployed == "Complete" or ran == "SUCCEEDED":
        return "succeeded"
    if deployed in ("Suspended", "Suspending") or (job["spec"].get("suspend") and deployed in _STARTING):
        return "queued"
    return "starting" if deployed in _STARTING else "running"


def of_service(service: Manifest | None) -> ServiceState:
    """What a RayService says of itself."""
    if service is None:
        return "absent"
    if "deletionTimestamp" in service["metadata"]:
        return "leaving"
    if service["spec"].get("rayClusterConfig", {}).get("suspend"):
        return "queued"
    status = service.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    ready = conditions.get("Ready", {}).get("status") == "True"
    is_seen = status.get("observedGeneration", 0) >= service["metadata"].get("generation", 0)
    if not is_seen or conditions.get("UpgradeInProgress", {}).get("status") == "True":
        return "replacing" if ready else "starting"
    if ready:
        return "ready"
    return "broken" if _has_unhealthy_application(service) else "starting"


def of_progress(told: Manifest | None, *, since: str | None) -> Progress:
    """What the job has told; nothing where that was an earlier one, before `since`."""
    data = (told or {}).get("data") or {}
    progress = Progress(**{key: str(data[key]) for key in Progress.__slots__ if key in data})
    at, began = moment(progress.updated_at), moment(since)
    return progress if at is None or began is None or at >= began else Progress(version=progress.version)


def trouble(pods: Iterable[Manifest], *, state: str, since: str | None, now: datetime) -> Trouble | None:
    """Why pods do not run, if that is so."""
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    found = next((each for pod in alive if (each := _of_pod(pod, now=now)) is not None), None)
    if found is not None or state != "starting":
        return found
    began = moment(since)
    if began is None or now - began < STUCK_AFTER:
        return None
    minutes = int((now - began).total_seconds() // 60)
    if not alive:
        return Trouble(
            "NoPods",
            f"KubeRay has made no pods for {minutes} minutes: see `kubectl describe raycluster`, and whether the "
            "KubeRay operator runs and the namespace's quota has room",
        )
    waiting = next((pod["metadata"]["name"] for pod in alive if not _is_ready(pod)), alive[0]["metadata"]["name"])
    return Trouble(
        "Stuck",
        f"pods have been starting for {minutes} minutes: `kubectl describe pod {waiting}` says what the first of them "
        "waits for, such as a volume or a Secret that is not there",
    )


def _of_pod(pod: Manifest, *, now: datetime) -> Trouble | None:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for each in status.get("conditions", []):
        if each["type"] == "PodScheduled" and each["status"] == "False" and each.get("reason") == "Unschedulable":
            since = moment(each.get("lastTransitionTime"))
            if since is None or now - since >= PULL_GRACE:
                return Trouble("Unschedulable", f"pod {name} finds no node: {each.get('message', '')}")
    for each in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        if (found := _of_container(name, each)) is not None:
            return found
    return None


def _of_container(pod: str, container: dict[str, Any]) -> Trouble | None:
    waiting = container.get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL:
        image = container.get("image", "")
        return Trouble(
            "ImagePullFailed",
            f"pod {pod} cannot get its image {image}: {message or reason}; check cluster.image and "
            "cluster.image_pull_secrets",
        )
    if reason in _MISSING:
        kind = "SecretMissing" if "secret" in message.lower() else "ConfigurationMissing"
        return Trouble(kind, f"pod {pod} cannot start: {message or reason}; make it, and the pod starts by itself")
    if reason == "CrashLoopBackOff":
        return Trouble("CrashLoop", f"pod {pod} ends again and again: `kubectl logs {pod} --previous` says why")
    return None


def _has_unhealthy_application(service: Manifest) -> bool:
    serving = service.get("status", {}).get("activeServiceStatus", {}).get("applicationStatuses", {})
    return any(each.get("status") in ("DEPLOY_FAILED", "UNHEALTHY") for each in serving.values())


def _is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
