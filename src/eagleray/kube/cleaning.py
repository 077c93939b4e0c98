"""Which job deletes what the runs of a document have left on the storage?"""

from __future__ import annotations

from eagleray.kube import pods, security, volumes
from eagleray.kube.target import Manifest, Target
from eagleray.spec.cluster import ClusterSpec
from eagleray.spec.finetune import FineTune

RETRIES = 6
DEADLINE_S = 3600


def name(document: str) -> str:
    """What it is called."""
    return f"{document}-cleaning"


def build(document: FineTune, *, storage_uri: str, namespace: str) -> Manifest:
    """A Job of the document's own image and account: who could write there can delete there."""
    cluster = document.spec.cluster or ClusterSpec()
    target = Target(document.metadata.name, "train", namespace, cluster)
    template = pods.submitter(target)
    pod = template["spec"]
    container = {
        **pod["containers"][0],
        "name": "cleaning",
        "args": ["runs", "delete", target.name, "--all", "--yes", "--force", "--storage", storage_uri],
        "command": ["eagleray"],
        "securityContext": security.of_container(),
        "volumeMounts": [*volumes.scratch_mounts(), *volumes.given_mounts(target)],
    }
    if cluster.secrets:
        container["envFrom"] = [{"secretRef": {"name": secret}} for secret in cluster.secrets]
    pod = {**pod, "containers": [container], "volumes": [*volumes.scratch("1Gi"), *volumes.given(target)]}
    described = {
        "backoffLimit": RETRIES,
        "activeDeadlineSeconds": DEADLINE_S,
        "template": {**template, "spec": pod},
    }
    return target.manifest("batch/v1", "Job", name(target.name), spec=described)
