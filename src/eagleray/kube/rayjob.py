"""What is the RayJob of a training document: its pods, its command, its deadlines and what is left of it?"""

from __future__ import annotations

import math
import shlex
from typing import Any, Final

from eagleray.kube import pods, raycluster, volumes
from eagleray.kube.raycluster import Size
from eagleray.kube.target import Manifest, Target
from eagleray.spec.finetune import FineTuneSpec

ENTRYPOINT: Final = shlex.join(
    ["eagleray", "up", f"{volumes.DOCUMENT_FOLDER}/{volumes.DOCUMENT_FILE}", "--until", "promote"]
)
"""Everything but the endpoint, which stays when the run's pods go."""

FORKING: Final = " --fork"
"""Begin from the checkpoint of a run that this document cannot go on with."""

SUBMIT_RETRIES: Final = 2


def build(target: Target, spec: FineTuneSpec, *, files: volumes.Files) -> Manifest:
    """The RayJob. A new attempt on new pods goes on from the newest checkpoint, as the same command does anywhere."""
    job = target.cluster.job
    described: dict[str, Any] = {
        "entrypoint": ENTRYPOINT + (FORKING if target.cluster.lifecycle.on_change == "fork" else ""),
        "submissionMode": "K8sJobMode",
        "backoffLimit": job.retries,
        "submitterConfig": {"backoffLimit": SUBMIT_RETRIES},
        "submitterPodTemplate": pods.submitter(target),
        "rayClusterSpec": raycluster.spec(
            target,
            size(target, spec),
            files=files,
            leave_s=target.cluster.drain_s + target.cluster.checkpoint_s,
            serves=False,
            needs_api=True,
            # The driver is on the head: where the head is lost, the job begins again, and Ray's own state is of no use.
            outlives_its_head=False,
        ),
        **_ending(target),
    }
    if job.deadline_s is not None:
        described["activeDeadlineSeconds"] = job.deadline_s
    # Of a queued job Kueue decides how long it waits.
    if job.start_deadline_s is not None and target.cluster.queue is None:
        described["preRunningDeadlineSeconds"] = job.start_deadline_s
    return raycluster.queued(target, target.manifest("ray.io/v1", "RayJob", target.name, spec=described))


def size(target: Target, spec: FineTuneSpec) -> Size:
    """As many pods as the run's workers need; a sweep that says how many trials run at once needs theirs."""
    scale = spec.scale
    num_workers = scale.num_workers * ((spec.sweep.max_concurrent or 1) if spec.sweep is not None else 1)
    per_pod = min(target.workers.per_pod, num_workers)
    wanted = target.workers.pods or math.ceil(num_workers / per_pod)
    fewest = wanted if scale.min_workers is None else min(wanted, math.ceil(scale.min_workers / per_pod))
    return Size(
        pods=wanted,
        fewest=fewest,
        most=wanted,
        cpus=max(1, math.ceil(per_pod * (scale.cpus_per_worker or 1))),
        gpus=per_pod * scale.gpus_per_worker,
    )


def _ending(target: Target) -> dict[str, Any]:
    """When its pods go. Kueue suspends only what shuts down by itself, and that excludes rules."""
    job = target.cluster.job
    if target.cluster.queue is not None:
        return {
            "suspend": True,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": job.keep_succeeded_s,
        }
    rules = [_rule("SUCCEEDED", job.keep_succeeded_s), _rule("FAILED", job.keep_failed_s)]
    return {"shutdownAfterJobFinishes": False, "deletionStrategy": {"deletionRules": rules}}


def _rule(status: str, after_s: int) -> dict[str, Any]:
    return {"policy": "DeleteCluster", "condition": {"jobStatus": status, "ttlSeconds": after_s}}
