"""How does the kubelet find out that a pod of Ray is up, ready and alive?"""

from __future__ import annotations

from typing import Any, Final

# Ray's agent listens on the address of its pod; what these paths answer needs no token.
_AGENT: Final = {"path": "/api/local_raylet_healthz", "port": 52365}
_DASHBOARD: Final = {"path": "/api/gcs_healthz", "port": 8265}
# Of one pod, where /readyz asks any replica of the whole endpoint.
_PROXY_PATH: Final = "/-/healthz"

_START: Final = {"periodSeconds": 5, "failureThreshold": 60, "timeoutSeconds": 5}
_READY: Final = {"periodSeconds": 5, "failureThreshold": 3, "timeoutSeconds": 5}
_SERVING: Final = {"periodSeconds": 2, "failureThreshold": 1, "timeoutSeconds": 2}
# A busy node answers late, and a restart costs the run's way from its last checkpoint.
_ALIVE: Final = {"periodSeconds": 10, "failureThreshold": 12, "timeoutSeconds": 5}

Probes = dict[str, Any]


def of_head() -> Probes:
    """The head is up with Ray's own state."""
    return {
        "startupProbe": {"httpGet": dict(_DASHBOARD), **_START},
        "readinessProbe": {"httpGet": dict(_DASHBOARD), **_READY},
        "livenessProbe": {"httpGet": dict(_DASHBOARD), **_ALIVE},
    }


def of_worker(*, serves: bool, port: int) -> Probes:
    """A worker is up with its raylet; one that serves is ready when its proxy takes requests."""
    ready = {"httpGet": {"path": _PROXY_PATH, "port": port}, **_SERVING} if serves else {"httpGet": _AGENT, **_READY}
    return {
        "startupProbe": {"httpGet": dict(_AGENT), **_START},
        "readinessProbe": ready,
        "livenessProbe": {"httpGet": dict(_AGENT), **_ALIVE},
    }
