"""What does the Prometheus operator scrape?"""

from __future__ import annotations

from typing import Any

from eagleray.kube import pods
from eagleray.kube.target import Manifest, Target

_GROUP = "monitoring.coreos.com/v1"


def build(target: Target) -> list[Manifest]:
    """Ray's metrics of every pod, what a run tells of itself, and an endpoint's own, which want a key."""
    asked = target.cluster.monitoring
    if asked is None:
        return []
    every = f"{asked.interval_s}s"
    ports = ["metrics"] if target.metrics_port is None else ["metrics", pods.DRIVER_PORT]
    of_pods = _monitor(target, "PodMonitor", podMetricsEndpoints=[{"port": port, "interval": every} for port in ports])
    if target.part != "serve" or asked.key_secret is None:
        return [of_pods]
    credentials = {"name": asked.key_secret, "key": "key"}
    scraped = {
        "port": "serve",
        "path": "/metrics",
        "interval": every,
        "authorization": {"type": "Bearer", "credentials": credentials},
    }
    of_endpoint = _monitor(target, "ServiceMonitor", endpoints=[scraped])
    # KubeRay makes the Service and labels it by itself.
    of_endpoint["spec"]["selector"] = {"matchLabels": {"ray.io/serve": f"{target.name}-serve"}}
    return [of_pods, of_endpoint]


def _monitor(target: Target, kind: str, **endpoints: Any) -> Manifest:
    asked = target.cluster.monitoring
    assert asked is not None
    manifest = target.manifest(
        _GROUP, kind, target.owned, spec={"selector": {"matchLabels": target.selector}, **endpoints}
    )
    manifest["metadata"]["labels"] |= asked.labels
    return manifest
