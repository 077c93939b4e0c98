"""What is a Ray cluster: one head, one group of workers, its tokens, and where its state is kept?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eagleray.kube import pods, security, volumes
from eagleray.kube.target import RAY_VERSION, Manifest, Target
from eagleray.spec.cluster import size_bytes

GROUP_NAME: Final = "workers"
# Of shared memory; the rest is for what processes hand each other beside Ray, such as a data loader's batches.
_OBJECT_STORE_SHARE: Final = 0.5
_HEAD_OBJECT_STORE_BYTES: Final = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Size:
    """How many worker pods there are, and what each has."""

    pods: int  # at the start
    fewest: int
    most: int
    cpus: float
    gpus: int
    is_autoscaled: bool = False

    @property
    def gpus_in_all(self) -> int:
        """GPUs of the cluster at its largest."""
        return self.most * self.gpus


def spec(
    target: Target,
    size: Size,
    *,
    files: volumes.Files | None,
    leave_s: int,
    serves: bool,
    needs_api: bool,
    outlives_its_head: bool,
) -> dict[str, Any]:
    """The specification that RayCluster, RayJob and RayService share."""
    head = pods.head(target, files=files, needs_api=needs_api or size.is_autoscaled)
    worker = pods.worker(target, files=files, cpus=size.cpus, gpus=size.gpus, serves=serves, leave_s=leave_s)
    group = {
        "groupName": GROUP_NAME,
        "replicas": size.pods,
        "minReplicas": size.fewest,
        "maxReplicas": size.most,
        "rayStartParams": {"object-store-memory": str(_object_store_bytes(target))},
        "template": worker,
    }
    cluster: dict[str, Any] = {
        "rayVersion": RAY_VERSION,
        "authOptions": _token(target),
        "headGroupSpec": {
            "rayStartParams": {
                "dashboard-host": "0.0.0.0",
                "num-cpus": "0",  # nothing is scheduled there
                "object-store-memory": str(_HEAD_OBJECT_STORE_BYTES),
            },
            "template": head,
        },
        "workerGroupSpecs": [group],
    }
    if size.is_autoscaled:
        cluster |= {"enableInTreeAutoscaling": True, "autoscalerOptions": _autoscaler()}
    if outlives_its_head and target.cluster.redis is not None:
        cluster["gcsFaultToleranceOptions"] = _redis(target)
    return cluster


def shared(target: Target, size: Size) -> Manifest:
    """A RayCluster that waits for jobs: `eagleray submit` with its address."""
    described = spec(
        target,
        size,
        files=None,
        leave_s=target.cluster.drain_s + target.cluster.checkpoint_s,
        serves=False,  # a worker is ready without an application
        needs_api=False,
        outlives_its_head=True,
    )
    if target.cluster.queue is not None:
        described["suspend"] = True  # Kueue lets it start
    manifest = target.manifest("ray.io/v1", "RayCluster", target.name, spec=described)
    return queued(target, manifest)


def queued(target: Target, manifest: Manifest) -> Manifest:
    """The same, with the label by which Kueue finds it."""
    if target.cluster.queue is not None:
        manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = target.cluster.queue
    return manifest


def _object_store_bytes(target: Target) -> int:
    return int(size_bytes(target.workers.shared_memory) * _OBJECT_STORE_SHARE)


def _token(target: Target) -> dict[str, str]:
    # An empty mapping does not turn it on, whatever the CRD's description says.
    token = {"mode": "token"}
    if target.cluster.token_secret is not None:
        token["secretName"] = target.cluster.token_secret
    return token


def _autoscaler() -> dict[str, Any]:
    amounts = {"cpu": "500m", "memory": "512Mi"}
    return {
        "version": "v2",
        "idleTimeoutSeconds": 60,
        "resources": {"requests": dict(amounts), "limits": dict(amounts)},
        "securityContext": security.of_container(),
        "env": pods.environment(),
        "volumeMounts": volumes.scratch_mounts(),
    }


def _redis(target: Target) -> dict[str, Any]:
    redis = target.cluster.redis
    assert redis is not None
    options: dict[str, Any] = {"redisAddress": redis.address}
    if redis.password_secret is not None:
        reference = {"name": redis.password_secret, "key": redis.password_key}
        options["redisPassword"] = {"valueFrom": {"secretKeyRef": reference}}
    return options
