"""Who reaches the pods of a document, and by which name is its endpoint called?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eagleray.kube import pods, rayservice
from eagleray.kube.target import Manifest, Target

_OPERATOR = {"app.kubernetes.io/name": "kuberay-operator"}
"""How the KubeRay operator's own chart marks its pod."""


def policy(target: Target) -> Manifest:
    """Ray's ports are for the pods of the same cluster; the endpoint's is for those who may call."""
    cluster = target.cluster
    namespace = {} if cluster.kuberay_namespace is None else {"matchLabels": _named(cluster.kuberay_namespace)}
    operator = {"namespaceSelector": namespace, "podSelector": {"matchLabels": _OPERATOR}}
    serves = [] if target.part == "train" else [pods.PORTS["serve"]]
    rules = [
        {"from": [{"podSelector": {"matchLabels": target.selector}}]},
        {"from": [operator], "ports": _ports([pods.PORTS["dashboard"], *serves])},
    ]
    callers = [{"namespaceSelector": {"matchLabels": _named(name)}} for name in cluster.callers]
    if callers and serves:
        rules.append({"from": callers, "ports": _ports([pods.PORTS["serve"]])})
    if cluster.monitoring is not None:
        prometheus = {"namespaceSelector": {"matchLabels": _named(cluster.monitoring.namespace)}}
        own = [pods.PORTS["serve"]] if target.part == "serve" and cluster.monitoring.key_secret else []
        own += [] if target.metrics_port is None else [target.metrics_port]
        rules.append({"from": [prometheus], "ports": _ports([pods.PORTS["metrics"], *own])})
    described = {"podSelector": {"matchLabels": target.selector}, "policyTypes": ["Ingress"], "ingress": rules}
    return target.manifest("networking.k8s.io/v1", "NetworkPolicy", target.owned, spec=described)


def ingress(target: Target) -> Manifest:
    """An Ingress to the Service of the endpoint."""
    asked = target.cluster.ingress
    assert asked is not None
    backend = {"service": {"name": rayservice.service(target), "port": {"number": pods.PORTS["serve"]}}}
    rule = {"host": asked.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    described: dict[str, Any] = {"rules": [rule]}
    if asked.class_name is not None:
        described["ingressClassName"] = asked.class_name
    if asked.tls_secret is not None:
        described["tls"] = [{"hosts": [asked.host], "secretName": asked.tls_secret}]
    return target.manifest("networking.k8s.io/v1", "Ingress", target.owned, spec=described)


def route(target: Target) -> Manifest:
    """A route of the Gateway API to the Service of the endpoint."""
    asked = target.cluster.gateway
    assert asked is not None
    parent = {"name": asked.name} | ({"namespace": asked.namespace} if asked.namespace else {})
    backend = {"name": rayservice.service(target), "port": pods.PORTS["serve"]}
    described = {"parentRefs": [parent], "hostnames": [asked.host], "rules": [{"backendRefs": [backend]}]}
    return target.manifest("gateway.networking.k8s.io/v1", "HTTPRoute", target.owned, spec=described)


def _named(namespace: str) -> dict[str, str]:
    return {"kubernetes.io/metadata.name": namespace}


def _ports(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number} for number in numbers]
