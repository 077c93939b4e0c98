"""Which kinds does the operator look at, and whose is an object of theirs?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eagleray.kube.target import GROUP, PART, Manifest
from eagleray.spec.finetune import API_VERSION

LABELLED: Final = "app.kubernetes.io/managed-by=eagleray"
OWNERS: Final = ("FineTune", "Endpoint")
_PARTS: Final = {"train": "FineTune", "serve": "Endpoint"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that documents become, or that tells of them."""

    api_version: str
    kind: str
    is_followed: bool = True
    """Whether its changes are heard of at once; the others are looked at now and then."""
    is_ours: bool = True
    """Whether those that count have our label."""


@dataclass(frozen=True, slots=True)
class Key:
    """A document in the cluster."""

    kind: str  # FineTune or Endpoint
    namespace: str
    name: str


KINDS: Final = (
    Kind(API_VERSION, "FineTune", is_ours=False),
    Kind(API_VERSION, "Endpoint", is_ours=False),
    Kind("ray.io/v1", "RayJob"),
    Kind("ray.io/v1", "RayService"),
    Kind("v1", "ConfigMap"),
    Kind("v1", "Pod"),
    Kind("batch/v1", "Job"),
    Kind("v1", "ServiceAccount", is_followed=False),
    Kind("v1", "PersistentVolumeClaim", is_followed=False),
    Kind("rbac.authorization.k8s.io/v1", "Role", is_followed=False),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", is_followed=False),
    Kind("networking.k8s.io/v1", "NetworkPolicy", is_followed=False),
    Kind("networking.k8s.io/v1", "Ingress", is_followed=False),
    Kind("policy/v1", "PodDisruptionBudget", is_followed=False),
    Kind("gateway.networking.k8s.io/v1", "HTTPRoute", is_followed=False),
    Kind("monitoring.coreos.com/v1", "PodMonitor", is_followed=False),
    Kind("monitoring.coreos.com/v1", "ServiceMonitor", is_followed=False),
)


def is_listed(manifest: Manifest) -> bool:
    """Whether a list of its kind by our label has it."""
    key, _, value = LABELLED.partition("=")
    return manifest["kind"] in OWNERS or manifest["metadata"].get("labels", {}).get(key) == value


def concerned(manifest: Manifest) -> Iterator[Key]:
    """The documents for which it matters what has become of an object."""
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace", "")
    if manifest["kind"] in OWNERS:
        yield Key(manifest["kind"], namespace, metadata["name"])
    for each in metadata.get("ownerReferences", ()):
        if each["kind"] in OWNERS and each["apiVersion"].startswith(f"{GROUP}/"):
            yield Key(each["kind"], namespace, each["name"])
    labels = metadata.get("labels", {})
    if manifest["kind"] == "Pod" and labels.get(PART) in _PARTS:
        yield Key(_PARTS[labels[PART]], namespace, labels.get(f"{GROUP}/name", ""))
