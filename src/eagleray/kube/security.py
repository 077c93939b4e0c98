"""What may a container do? As little as the Restricted Pod Security Standard lets it, and write nowhere but here."""

from __future__ import annotations

from typing import Any, Final

USER: Final = 1000
"""The user of the image."""


def of_pod() -> dict[str, Any]:
    """The security context of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        # Volumes belong to the group; without OnRootMismatch the kubelet would walk through a large one at each start.
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def of_container() -> dict[str, Any]:
    """The security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
