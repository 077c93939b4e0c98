"""What does a replica tell the coordinator, which knows nothing of models in memory?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eagleray.serving.rollout import Traffic


@dataclass(frozen=True, slots=True)
class Beat:
    """What a replica tells the coordinator once a second."""

    replica: str
    loaded: Mapping[str, frozenset[int]]  # by model, those that are in memory; absent: the model is not
    refusals: Mapping[str, Mapping[int, str]]
    traffic: Mapping[tuple[str, int], Traffic]
    metrics: str
