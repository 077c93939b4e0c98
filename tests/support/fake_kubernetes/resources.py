"""Which kinds does the server know, and what does discovery tell of them?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.support.fake_kubernetes.fields import BUILT_IN, Schema

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind, by its place in a path."""

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    has_status: bool = False
    counts_generations: bool = False
    schema: Schema | None = None
    """None where it is built in: nothing is validated then."""
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As objects have it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def where(self) -> tuple[str, str, str]:
        """Group, version and plural."""
        return self.group, self.version, self.plural

    @property
    def called(self) -> str:
        """As messages have it: `rayjobs.ray.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def fields(self) -> Schema:
        """What says which lists are keyed."""
        return BUILT_IN if self.schema is None else self.schema


def _built_in(group: str, version: str, *kinds: str, has_spec: bool = False, cluster: bool = False) -> list[Resource]:
    made = []
    for each in kinds:
        plural, kind = each.split("/")
        made.append(Resource(group, version, plural, kind, not cluster, has_spec, has_spec))
    return made


BUILT_INS: tuple[Resource, ...] = (
    *_built_in(
        "",
        "v1",
        "configmaps/ConfigMap",
        "events/Event",
        "secrets/Secret",
        "serviceaccounts/ServiceAccount",
    ),
    *_built_in("", "v1", "pods/Pod", "services/Service", "persistentvolumeclaims/PersistentVolumeClaim", has_spec=True),
    *_built_in("", "v1", "namespaces/Namespace", "nodes/Node", has_spec=True, cluster=True),
    *_built_in("batch", "v1", "jobs/Job", has_spec=True),
    *_built_in("apps", "v1", "deployments/Deployment", "statefulsets/StatefulSet", has_spec=True),
    *_built_in("coordination.k8s.io", "v1", "leases/Lease"),
    *_built_in("events.k8s.io", "v1", "events/Event"),
    *_built_in("policy", "v1", "poddisruptionbudgets/PodDisruptionBudget", has_spec=True),
    *_built_in("networking.k8s.io", "v1", "ingresses/Ingress", "networkpolicies/NetworkPolicy", has_spec=True),
    *_built_in("rbac.authorization.k8s.io", "v1", "roles/Role", "rolebindings/RoleBinding"),
    *_built_in("rbac.authorization.k8s.io", "v1", "clusterroles/ClusterRole", cluster=True),
    *_built_in(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions/CustomResourceDefinition", has_spec=True, cluster=True
    ),
)


def of_crd(crd: dict[str, Any]) -> list[Resource]:
    """The kinds that a CustomResourceDefinition adds."""
    spec, names = crd["spec"], crd["spec"]["names"]
    return [
        Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            spec["scope"] == "Namespaced",
            "status" in version.get("subresources", {}),
            True,
            version["schema"]["openAPIV3Schema"],
            tuple(names.get("shortNames", ())),
        )
        for version in spec["versions"]
        if version["served"]
    ]


def groups(known: Iterable[Resource]) -> dict[str, Any]:
    """The answer of `/apis`."""
    versions: dict[str, list[str]] = {}
    for each in known:
        if each.group and each.version not in versions.setdefault(each.group, []):
            versions[each.group].append(each.version)
    found = []
    for group, names in versions.items():
        told = [{"groupVersion": f"{group}/{name}", "version": name} for name in names]
        found.append({"name": group, "versions": told, "preferredVersion": told[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def listing(known: Iterable[Resource], group: str, version: str) -> dict[str, Any] | None:
    """The answer of `/apis/GROUP/VERSION`; None where there is nothing."""
    found: list[dict[str, Any]] = []
    for each in known:
        if (each.group, each.version) != (group, version):
            continue
        told = {"kind": each.kind, "namespaced": each.is_namespaced, "singularName": each.kind.lower()}
        found.append(
            {**told, "name": each.plural, "verbs": _VERBS, "shortNames": list(each.short_names), "categories": []}
        )
        if each.has_status:
            found.append({**told, "name": f"{each.plural}/status", "verbs": ["get", "patch", "update"]})
    if not found:
        return None
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": found}
