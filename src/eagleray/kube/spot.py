"""Which nodes may be taken away at any moment, and which pods go there?"""

from __future__ import annotations

from typing import Any, Final

LABELS: Final = {
    "cloud.google.com/gke-spot": "true",
    "eks.amazonaws.com/capacityType": "SPOT",
    "karpenter.sh/capacity-type": "spot",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
"""How GKE, EKS, Karpenter and AKS mark them; as taints they use the same keys."""


def away() -> dict[str, Any]:
    """The affinity of a pod that must stay."""
    expressions = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in LABELS.items()]
    return _required([{"matchExpressions": expressions}])


def only() -> dict[str, Any]:
    """The affinity of a pod that takes nothing else: any of the labels will do."""
    return _required(
        [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]} for key, value in LABELS.items()]
    )


def tolerations() -> list[dict[str, Any]]:
    """What lets a pod onto them."""
    return [{"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in LABELS.items()]


def _required(terms: list[dict[str, Any]]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
