"""How is the cluster of an endpoint made anew when it must change, and which GPUs does that take?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eagleray.kube.raycluster import Size
from eagleray.kube.target import Target

STEP_PERCENT = 20
STEP_INTERVAL_S = 30


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A strategy of KubeRay, and what it means in words."""

    strategy: dict[str, Any]
    is_stepwise: bool
    words: str


def choose(target: Target, size: Size) -> Upgrade:
    """The one that never stops answering, if the GPUs that it takes beside those in use are there."""
    spare, needed = target.cluster.spare_gpus, size.gpus_in_all
    if needed <= spare:
        return _new_cluster(needed)
    surge_percent = spare * 100 // needed
    gateway = target.cluster.gateway
    if gateway is not None and gateway.class_name is not None and size.is_autoscaled and spare >= size.gpus:
        return _stepwise(gateway.class_name, surge_percent, needed=needed, spare=spare)
    return Upgrade(
        {"type": "None"},
        is_stepwise=False,
        words=f"upgrade None: a second cluster would take {needed} GPUs beside the {needed} in use, spare_gpus is "
        f"{spare}. A change of image, pods or GPUs waits until the RayService is deleted and applied again; new "
        "versions of the model need none of that",
    )


def _new_cluster(needed: int) -> Upgrade:
    gpus = f"{needed} GPUs beside the {needed} in use" if needed else "no GPUs"
    return Upgrade(
        {"type": "NewCluster"},
        is_stepwise=False,
        words=f"upgrade NewCluster: a changed cluster starts beside the old one, and takes {gpus}",
    )


def _stepwise(class_name: str, surge_percent: int, *, needed: int, spare: int) -> Upgrade:
    options = {
        "gatewayClassName": class_name,
        "maxSurgePercent": surge_percent,
        "stepSizePercent": min(STEP_PERCENT, surge_percent),
        "intervalSeconds": STEP_INTERVAL_S,
    }
    return Upgrade(
        {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": options},
        is_stepwise=True,
        words=f"upgrade NewClusterWithIncrementalUpgrade: a changed cluster grows step by step, and takes at most "
        f"{spare} GPUs beside the {needed} in use",
    )
