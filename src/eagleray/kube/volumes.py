"""What does a pod mount: the places it may write, the document, secrets and a shared claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eagleray.kube.target import Target

DOCUMENT_FOLDER: Final = "/spec"
DOCUMENT_FILE: Final = "document.yaml"
HOME: Final = "/home/eagleray"
CACHE: Final = "/cache"
# One volume for all three, so that one limit holds for what a pod writes.
_SCRATCH: Final = {"/tmp": "tmp", CACHE: "cache", HOME: "home"}

Files = Mapping[str, bytes]
"""What goes beside the document, by its path there."""


def scratch(size: str) -> list[dict[str, Any]]:
    """The volume for temporary files and caches."""
    return [{"name": "scratch", "emptyDir": {"sizeLimit": size}}]


def scratch_mounts() -> list[dict[str, Any]]:
    """Every place that may be written under a read-only root."""
    return [{"name": "scratch", "mountPath": path, "subPath": sub} for path, sub in _SCRATCH.items()]


def shared_memory(size: str) -> list[dict[str, Any]]:
    """The volume for Ray's object store and what processes share."""
    return [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]


def shared_memory_mounts() -> list[dict[str, Any]]:
    """Where it is expected; KubeRay adds none of its own then."""
    return [{"name": "shared-memory", "mountPath": "/dev/shm"}]


def of_document(target: Target, files: Files) -> list[dict[str, Any]]:
    """The volume with the document and the files beside it, each at its path."""
    items = [{"key": key, "path": path} for path, key in keys(files).items()]
    return [{"name": "document", "configMap": {"name": target.document, "items": items}}]


def document_mounts() -> list[dict[str, Any]]:
    """Where the document is."""
    return [{"name": "document", "mountPath": DOCUMENT_FOLDER, "readOnly": True}]


def keys(files: Files) -> dict[str, str]:
    """The keys of the ConfigMap by path: they know no slash, no space and no other script, as paths do."""
    return {DOCUMENT_FILE: DOCUMENT_FILE} | {path: f"file-{number}" for number, path in enumerate(sorted(files))}


def given(target: Target) -> list[dict[str, Any]]:
    """The volumes that the document asks for: secrets and the claim."""
    cluster = target.cluster
    found: list[dict[str, Any]] = [
        # 0440: the group of the pod reads them, and nobody else.
        {"name": f"secret-{number}", "secret": {"secretName": name, "defaultMode": 0o440}}
        for number, name in enumerate(sorted(cluster.secret_files))
    ]
    if cluster.claim is not None:
        found.append({"name": "claim", "persistentVolumeClaim": {"claimName": cluster.claim.name}})
    return found


def given_mounts(target: Target) -> list[dict[str, Any]]:
    """Where those are mounted."""
    cluster = target.cluster
    found: list[dict[str, Any]] = [
        {"name": f"secret-{number}", "mountPath": cluster.secret_files[name], "readOnly": True}
        for number, name in enumerate(sorted(cluster.secret_files))
    ]
    if cluster.claim is not None:
        found.append({"name": "claim", "mountPath": cluster.claim.mount_path})
    return found
