"""What is a pod of a Ray cluster: its head, its workers, and the one that submits the job?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from eagleray.kube import in_cluster, probes, security, spot, volumes
from eagleray.kube.target import GROUP, Target

MARGIN_S: Final = 30
"""How much longer a worker may take to end than what it has been promised: the rest is Ray's own end."""

_HEAD_SHARED_MEMORY: Final = "1Gi"
_HEAD_SCRATCH: Final = "20Gi"

# By KubeRay's own names: it makes the Services of the head from them.
PORTS: Final = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080, "serve": 8000}

DRIVER_PORT: Final = "driver-metrics"
"""The name of the port at which a run tells of itself."""

METRICS_PORT: Final = f"{GROUP}/metrics-port"
"""The annotation by which a Prometheus without its operator finds that port."""

_ENVIRONMENT: Final = {
    "EAGLERAY_CACHE": volumes.CACHE,
    "HF_HOME": f"{volumes.CACHE}/huggingface",
    "HOME": volumes.HOME,
    "PYTHONUNBUFFERED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TMPDIR": "/tmp",
}

Template = dict[str, Any]


def head(target: Target, *, files: volumes.Files | None, needs_api: bool) -> Template:
    """Ray's head, on a node that stays. `files` is what lies beside the document, None where it has none."""
    size = target.cluster.head
    container = _ray_container(target, "ray-head", files=files)
    if target.part == "train":
        container["env"] = [
            *container["env"],
            {"name": in_cluster.VARIABLE, "value": f"{target.namespace}/{target.progress}"},
        ]
    container |= {
        "ports": _ports(PORTS),
        "resources": _resources(size.cpus, size.memory, scratch=_HEAD_SCRATCH),
        **probes.of_head(),
    }
    pod = _pod(target, container, files=files, shared_memory=_HEAD_SHARED_MEMORY, scratch=_HEAD_SCRATCH)
    # Only the head speaks with the API server: it tells the run's progress, and Ray's autoscaler asks for pods there.
    pod |= {"automountServiceAccountToken": needs_api, "affinity": spot.away()}
    template = _template(target, pod, node="head")
    if target.metrics_port is not None:
        container["ports"].append({"name": DRIVER_PORT, "containerPort": target.metrics_port})
        template["metadata"]["annotations"] = {METRICS_PORT: str(target.metrics_port)}
    return template


def worker(
    target: Target, *, files: volumes.Files | None, cpus: float, gpus: int, serves: bool, leave_s: int
) -> Template:
    """A worker; one that `serves` is ready when requests may come. Within `leave_s` it has finished, or saved."""
    size = target.workers
    container = _ray_container(target, "ray-worker", files=files) | {
        "ports": _ports(("metrics", "serve") if serves else ("metrics",)),
        "resources": _resources(cpus, size.memory, scratch=size.scratch, gpus={size.gpu_resource: gpus}),
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", drain_command(leave_s)]}}},
        **probes.of_worker(serves=serves, port=PORTS["serve"]),
    }
    pod = _pod(target, container, files=files, shared_memory=size.shared_memory, scratch=size.scratch)
    pod |= {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": leave_s + MARGIN_S,
        **_placement(target, gpus=gpus),
    }
    return _template(target, pod, node="worker")


def submitter(target: Target) -> Template:
    """The pod that hands the job to the head and follows it; KubeRay gives it its command."""
    container = {
        "name": "submitter",
        "image": target.image,
        "env": environment(),
        "resources": _resources(0.5, "1Gi", scratch="1Gi"),
        "securityContext": security.of_container(),
        "volumeMounts": volumes.scratch_mounts(),
    }
    pod = _common(target, container) | {
        "automountServiceAccountToken": False,
        "affinity": spot.away(),
        "restartPolicy": "Never",
        "volumes": volumes.scratch("1Gi"),
    }
    return _template(target, pod, node="submitter")


def environment() -> list[dict[str, str]]:
    """The variables of every container: where it may write, and what it must not tell."""
    return [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()]


def drain_command(leave_s: int) -> str:
    """Tell Ray that this node goes, and wait: the driver saves, its workers end, and then Ray ends by itself."""
    drain = (
        "ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'its pod is deleted' "
        f"--deadline-remaining-seconds {leave_s}"
    )
    return f"{drain} && sleep {leave_s}"


def _template(target: Target, pod: dict[str, Any], *, node: str) -> Template:
    return {"metadata": {"labels": {**target.labels, "eagleray.io/node": node}}, "spec": pod}


def _pod(
    target: Target, container: dict[str, Any], *, files: volumes.Files | None, shared_memory: str, scratch: str
) -> dict[str, Any]:
    mounted = [*volumes.scratch(scratch), *volumes.shared_memory(shared_memory), *volumes.given(target)]
    if files is not None:
        mounted += volumes.of_document(target, files)
    return _common(target, container) | {"volumes": mounted}


def _common(target: Target, container: dict[str, Any]) -> dict[str, Any]:
    cluster = target.cluster
    pod: dict[str, Any] = {
        "serviceAccountName": target.account,
        "securityContext": security.of_pod(),
        "enableServiceLinks": False,  # variables of every Service of the namespace: RAY_PORT would mean another
        "containers": [container],
    }
    if cluster.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in cluster.image_pull_secrets]
    if cluster.priority_class is not None:
        pod["priorityClassName"] = cluster.priority_class
    return pod


def _ray_container(target: Target, name: str, *, files: volumes.Files | None) -> dict[str, Any]:
    mounts = [*volumes.scratch_mounts(), *volumes.shared_memory_mounts(), *volumes.given_mounts(target)]
    if files is not None:
        mounts += volumes.document_mounts()
    container: dict[str, Any] = {
        "name": name,
        "image": target.image,
        "env": environment(),
        "securityContext": security.of_container(),
        "volumeMounts": mounts,
    }
    if target.cluster.secrets:
        container["envFrom"] = [{"secretRef": {"name": secret}} for secret in target.cluster.secrets]
    return container


def _ports(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"name": name, "containerPort": PORTS[name]} for name in names]


def _resources(
    cpus: float, memory: str, *, scratch: str, gpus: dict[str, int] | None = None
) -> dict[str, dict[str, str]]:
    """Requests and limits are the same: a pod that is promised less than it uses is the first to be ended."""
    amounts = {"cpu": _cpus(cpus), "memory": memory, "ephemeral-storage": scratch}
    amounts |= {resource: str(number) for resource, number in (gpus or {}).items() if number}
    return {"requests": dict(amounts), "limits": dict(amounts)}


def _placement(target: Target, *, gpus: int) -> dict[str, Any]:
    workers = target.workers
    keys = dict.fromkeys([*([workers.gpu_resource] if gpus else []), *workers.tolerate])
    tolerations = [{"key": key, "operator": "Exists"} for key in keys]
    placed: dict[str, Any] = {}
    if workers.spot != "never":
        tolerations += spot.tolerations()
    if workers.spot != "allowed":
        placed["affinity"] = spot.only() if workers.spot == "only" else spot.away()
    if workers.node_selector:
        placed["nodeSelector"] = dict(workers.node_selector)
    if tolerations:
        placed["tolerations"] = tolerations
    return placed


def _cpus(number: float) -> str:
    """CPUs as Kubernetes writes them back: whole ones plain, parts in thousandths."""
    thousandths = round(number * 1000)
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"
