"""How many replicas does Ray Serve run, and when are there more or fewer?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eagleray.spec.endpoint import ReplicasSpec

if TYPE_CHECKING:  # Ray Serve, which imports this rule by its name
    from ray.serve.config import AutoscalingContext

DIRECT_REQUESTS = "direct_requests"
"""What a replica tells beside what Ray Serve counts: requests under way that came to it by the short way."""


def scaling(replicas: ReplicasSpec, *, has_shortcut: bool = False) -> dict[str, Any]:
    """The options of a deployment that say so. Defaults of Ray Serve's own would add replicas after 40 s and more.

    `has_shortcut`: some requests reach the replicas without Ray Serve.
    """
    if replicas.min == replicas.max:
        return {"num_replicas": replicas.max}
    # Ray Serve's controller has to be able to import the rule: it is its own wherever its own is enough.
    rule = {"policy": {"policy_function": f"{__name__}:{wanted.__name__}"}} if has_shortcut else {}
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
            **rule,
        }
    }


def wanted(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """How many replicas the requests under way need, whichever way they came. Ray Serve applies bounds and delays."""
    if context.current_num_replicas == 0 or context.config is None:
        return context.target_num_replicas, {}
    direct = (context.aggregated_metrics or {}).get(DIRECT_REQUESTS, {})
    requests = context.total_num_requests + sum(direct.values())
    return requests / context.config.get_target_ongoing_requests(), {}
