"""Does a pod keep to the Restricted Pod Security Standard, and to what we ask beyond it?

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SECCOMP: Final = ("RuntimeDefault", "Localhost")


def violations(pod: dict[str, Any]) -> list[str]:
    """What of a pod's spec breaks it, by place; [] where nothing does."""
    return [*_of_pod(pod), *(f"{name}: {each}" for name, container in _containers(pod) for each in _of(container, pod))]


def pods(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec in a manifest, by its path."""
    if isinstance(value, dict):
        if "containers" in value:
            yield path, value
            return
        for key, inner in value.items():
            yield from pods(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from pods(inner, f"{path}[{number}]")


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{key} is on"
    for volume in pod.get("volumes", []):
        if other := set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is a {', '.join(sorted(other))}"
    if pod.get("securityContext", {}).get("sysctls"):
        yield "sets sysctls"


def _of(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own, common = container.get("securityContext", {}), pod.get("securityContext", {})
    either = {**common, **own}
    if own.get("privileged"):
        yield "is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if either.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if either.get("runAsUser") == 0:
        yield "runs as root"
    if either.get("seccompProfile", {}).get("type") not in _SECCOMP:
        yield "seccompProfile is neither RuntimeDefault nor Localhost"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "does not drop ALL capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "takes a port of the host"
    # Beyond the standard.
    if own.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    for kind in ("requests", "limits"):
        if missing := {"cpu", "memory"} - set(container.get("resources", {}).get(kind, {})):
            yield f"has no {kind} of {', '.join(sorted(missing))}"


def _containers(pod: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind, []):
            yield container["name"], container
