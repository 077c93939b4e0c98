"""How many replicas does Ray Serve run, and when are there more or fewer?"""

from __future__ import annotations

from typing import Any

from eagleray.spec.endpoint import ReplicasSpec


def scaling(replicas: ReplicasSpec) -> dict[str, Any]:
    """The options of a deployment that say so. Defaults of Ray Serve's own would add replicas after 40 s and more."""
    if replicas.min == replicas.max:
        return {"num_replicas": replicas.max}
    return {
        "autoscaling_config": {
            "min_replicas": replicas.min,
            "max_replicas": replicas.max,
            "initial_replicas": max(1, replicas.min),
            "target_ongoing_requests": replicas.target_ongoing_requests,
            "upscale_delay_s": replicas.upscale_delay_s,
            "downscale_delay_s": replicas.downscale_delay_s,
            "metrics_interval_s": 1,
            "look_back_period_s": 3,
        }
    }
