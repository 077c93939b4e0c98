"""Who reaches which port of the pods."""

from __future__ import annotations

import pytest

from eagleray.kube.target import Manifest
from tests.support import rendered

OWN, OPERATOR = "same pods", "operator in "


def _rules(text: str) -> dict[str, list[int] | None]:
    """Who, and which ports; None for every port."""
    found = rendered.of_text(text)
    policy = rendered.of_kind(found, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["podSelector"]["matchLabels"].keys() == {"eagleray.io/name", "eagleray.io/part"}
    return {
        _peer(peer, policy["podSelector"]): [port["port"] for port in rule["ports"]] if "ports" in rule else None
        for rule in policy["ingress"]
        for peer in rule["from"]
    }


def _peer(peer: Manifest, own: Manifest) -> str:
    namespace = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", "any")
    if peer.get("podSelector") == own:
        return OWN
    return f"{OPERATOR}{namespace}" if "podSelector" in peer else namespace


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(rendered.training(), {OWN: None, "operator in any": [8265]}, id="run"),
        pytest.param(
            rendered.training(cluster="{kuberay_namespace: kuberay, callers: [nginx], monitoring: {namespace: prom}}"),
            {OWN: None, "operator in kuberay": [8265], "prom": [8080]},
            id="run-with-all",
        ),
        pytest.param(
            rendered.training(cluster="{monitoring: {namespace: prom}}", monitoring="{port: 9500}"),
            {OWN: None, "operator in any": [8265], "prom": [8080, 9500]},
            id="run-that-tells-of-itself",
        ),
        pytest.param(rendered.endpoint(), {OWN: None, "operator in any": [8265, 8000]}, id="endpoint-for-nobody"),
        pytest.param(
            rendered.endpoint(cluster="{callers: [nginx, shop]}"),
            {OWN: None, "operator in any": [8265, 8000], "nginx": [8000], "shop": [8000]},
            id="endpoint-for-callers",
        ),
        pytest.param(
            rendered.endpoint(cluster="{monitoring: {namespace: prom, key_secret: key}}"),
            {OWN: None, "operator in any": [8265, 8000], "prom": [8080, 8000]},
            id="endpoint-with-its-own-metrics",
        ),
        pytest.param(
            rendered.endpoint(cluster="{monitoring: {namespace: prom}}"),
            {OWN: None, "operator in any": [8265, 8000], "prom": [8080]},
            id="endpoint-with-ray-metrics",
        ),
    ],
)
def test_rules(text: str, expected: dict[str, list[int] | None]) -> None:
    assert _rules(text) == expected


@pytest.mark.parametrize(
    ("text", "budgets"),
    [
        pytest.param(rendered.training(), {"films-train-head": 1}, id="one-worker"),
        pytest.param(
            rendered.training(scale="{num_workers: 4}"), {"films-train-head": 1, "films-train-worker": 3}, id="workers"
        ),
        pytest.param(
            rendered.training(scale="{num_workers: 4, min_workers: 2}"),
            {"films-train-head": 1, "films-train-worker": 2},
            id="elastic",
        ),
        pytest.param(
            rendered.training(cluster="{protect_head: false}", scale="{num_workers: 2}"),
            {"films-train-worker": 1},
            id="head-may-go",
        ),
        pytest.param(
            rendered.endpoint(endpoint="{replicas: {min: 3, max: 9}}"),
            {"films-serve-head": 1, "films-serve-worker": 2},
            id="endpoint",
        ),
        pytest.param(rendered.endpoint(endpoint="{replicas: {min: 0, max: 9}}"), {"films-serve-head": 1}, id="idle"),
    ],
)
def test_budgets(text: str, budgets: dict[str, int]) -> None:
    found = [each for each in rendered.of_text(text).manifests if each["kind"] == "PodDisruptionBudget"]

    assert {each["metadata"]["name"]: each["spec"]["minAvailable"] for each in found} == budgets
