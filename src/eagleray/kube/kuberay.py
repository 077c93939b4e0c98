"""What can KubeRay in this cluster not do that a document needs?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eagleray.kube import openapi
from eagleray.kube.client import Refused
from eagleray.kube.cluster import Cluster
from eagleray.kube.target import Manifest

API_VERSION: Final = "ray.io/v1"
_CRDS: Final = ("rayjobs.ray.io", "rayservices.ray.io")
_FIRST: Final = {
    "deletionStrategy": "1.5",
    "mode": "1.5.1",
    "clusterUpgradeOptions": "1.5",
    "preRunningDeadlineSeconds": "1.6",
    "secretName": "1.6",
}
"""The version of KubeRay that brought a field."""


@dataclass(frozen=True, slots=True)
class KubeRay:
    """What the cluster says of it."""

    is_there: bool
    schemas: Mapping[tuple[str, str], openapi.Schema] | None = None
    """None where the operator may not read them."""

    def lacks(self, manifest: Manifest) -> tuple[str, ...]:
        """What it cannot do of what an object asks for, in words."""
        kind = manifest["kind"]
        if not self.is_there:
            return (f"this cluster has no {kind} of {API_VERSION}: install KubeRay 1.6 or newer",)
        if self.schemas is None:
            return ()
        schema = self.schemas.get((API_VERSION, kind))
        if schema is None:
            return (f"this cluster has no {kind} of {API_VERSION}: install KubeRay 1.6 or newer",)
        found = openapi.violations(manifest, schema, rule=_any)
        unknown = [each.partition(": ")[0] for each in found if ": unknown field" in each]
        return tuple(f"{kind} {path}: this cluster's KubeRay does not know it; {_needs(path)}" for path in unknown)


def look(cluster: Cluster) -> KubeRay:
    """Read its definitions, or, where that is not allowed, see whether it is there. Raises ClusterError."""
    try:
        definitions = [cluster.crd(name) for name in _CRDS]
    except Refused as refused:
        if refused.status != 403:
            raise
        return KubeRay(cluster.serves(API_VERSION))
    found = [each for each in definitions if each is not None]
    return KubeRay(bool(found), {_kind(each): _schema(each) for each in found})


def _kind(definition: dict[str, Any]) -> tuple[str, str]:
    return API_VERSION, definition["spec"]["names"]["kind"]


def _schema(definition: dict[str, Any]) -> openapi.Schema:
    """That of the version that is used; one that takes nothing where it is not served."""
    name = API_VERSION.rpartition("/")[2]
    served = (each for each in definition["spec"]["versions"] if each["name"] == name and each.get("served"))
    found: openapi.Schema = next((each["schema"]["openAPIV3Schema"] for each in served), {"type": "object"})
    return found


def _needs(path: str) -> str:
    version = next((first for field, first in _FIRST.items() if path.endswith(field)), "")
    return f"update it to {version} or newer" if version else "update it"


def _any(rule: str, value: Any) -> bool:
    """Rules are the server's to judge."""
    return True
