"""How many replicas are wanted, by whichever way the requests come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from eagleray.serving import scaling
from eagleray.serving.scaling import DIRECT_REQUESTS
from eagleray.spec.endpoint import ReplicasSpec

SPEC = ReplicasSpec(min=1, max=3, target_ongoing_requests=4.0)


class Config:
    """What of a deployment's configuration is asked."""

    def get_target_ongoing_requests(self) -> float:
        return 4.0


@dataclass
class Context:
    """What Ray Serve's controller knows of a deployment."""

    current_num_replicas: int = 1
    target_num_replicas: int = 1
    total_num_requests: float = 0.0
    aggregated_metrics: dict[str, dict[str, float]] | None = None
    config: Config = field(default_factory=Config)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (Context(), 0),
        (Context(total_num_requests=8), 2),
        (Context(aggregated_metrics={DIRECT_REQUESTS: {"a": 6, "b": 6}}), 3),
        (Context(total_num_requests=4, aggregated_metrics={DIRECT_REQUESTS: {"a": 8}}), 3),
        (Context(aggregated_metrics={"another": {"a": 8}}), 0),
        (Context(current_num_replicas=0, target_num_replicas=1), 1),
    ],
    ids=["idle", "serve", "direct", "both", "other-metric", "none-yet"],
)
def test_requests_of_both_ways_count(context: Any, expected: float) -> None:
    assert scaling.wanted(context) == (expected, {})


@pytest.mark.parametrize("has_shortcut", [True, False])
def test_the_rule_is_ours_only_where_ray_serve_does_not_see_all(has_shortcut: bool) -> None:
    config = scaling.scaling(SPEC, has_shortcut=has_shortcut)["autoscaling_config"]

    assert config.get("policy") == ({"policy_function": "eagleray.serving.scaling:wanted"} if has_shortcut else None)


def test_a_fixed_number_needs_no_rule() -> None:
    assert scaling.scaling(ReplicasSpec(min=2, max=2), has_shortcut=True) == {"num_replicas": 2}
