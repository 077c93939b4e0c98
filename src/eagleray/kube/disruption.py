"""How many pods of a document may be evicted at once, when a node is emptied?"""

from __future__ import annotations

from eagleray.kube.raycluster import Size
from eagleray.kube.target import GROUP, Manifest, Target


def build(target: Target, size: Size) -> list[Manifest]:
    """One worker at a time; the head not at all, unless the document lets it go.

    As a number of pods that stay: Kubernetes knows no number of all pods of an owner that cannot be scaled.
    """
    stay = size.fewest - 1 if size.fewest == size.pods else size.fewest
    budgets = [_budget(target, "worker", stay)] if stay > 0 else []
    return [_budget(target, "head", 1), *budgets] if target.cluster.protect_head else budgets


def _budget(target: Target, node: str, stay: int) -> Manifest:
    selector = {"matchLabels": {**target.selector, f"{GROUP}/node": node}}
    return target.manifest(
        "policy/v1",
        "PodDisruptionBudget",
        f"{target.owned}-{node}",
        spec={"minAvailable": stay, "selector": selector},
    )
