"""As whom do the pods speak with the API server, and what may they do there?"""

from __future__ import annotations

from eagleray.kube.target import Manifest, Target


def build(target: Target) -> list[Manifest]:
    """An account, and for a run a Role that lets it tell its progress and nothing else."""
    cluster, made = target.cluster, []
    if cluster.service_account is None:
        made.append(
            target.manifest(
                "v1",
                "ServiceAccount",
                target.account,
                annotations=cluster.service_account_annotations,
                automountServiceAccountToken=False,  # the head asks for it by itself
            )
        )
    return [*made, *_progress(target)] if target.part == "train" else made


def _progress(target: Target) -> list[Manifest]:
    """The ConfigMap is made here, because a right to create cannot be bound to a name."""
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [target.progress],
        "verbs": ["get", "patch"],
    }
    account = {"kind": "ServiceAccount", "name": target.account, "namespace": target.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": target.owned}
    return [
        target.manifest("v1", "ConfigMap", target.progress),
        target.manifest("rbac.authorization.k8s.io/v1", "Role", target.owned, rules=[rule]),
        target.manifest("rbac.authorization.k8s.io/v1", "RoleBinding", target.owned, subjects=[account], roleRef=role),
    ]
