"""What did each version do since somebody last asked?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from eagleray.serving.rollout import Traffic

_KEPT = 500  # latencies between two questions: enough for a median


@dataclass(slots=True)
class _Count:
    num_requests: int = 0
    num_errors: int = 0
    latencies_s: list[float] = field(default_factory=list)
    num_compared: int = 0
    num_different: int = 0


class TrafficLog:
    """Counts by model name and version; `drain` hands them over and begins anew."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], _Count] = defaultdict(_Count)
        self._unheard: dict[tuple[str, int], Traffic] = {}

    def answered(self, name: str, version: int, *, seconds: float) -> None:
        """A version has answered a request."""
        count = self._counts[name, version]
        count.num_requests += 1
        if len(count.latencies_s) < _KEPT:
            count.latencies_s.append(seconds)

    def failed(self, name: str, version: int) -> None:
        """A version could not answer, by no fault of the request."""
        count = self._counts[name, version]
        count.num_requests += 1
        count.num_errors += 1

    def compared(self, name: str, version: int, *, is_different: bool) -> None:
        """A version was asked what another had answered."""
        count = self._counts[name, version]
        count.num_compared += 1
        count.num_different += is_different

    def drain(self) -> dict[tuple[str, int], Traffic]:
        """What was counted since the last call."""
        counts, self._counts = self._counts, defaultdict(_Count)
        drained, self._unheard = self._unheard, {}
        for key, count in counts.items():
            drained[key] = drained.get(key, Traffic()) + Traffic(
                count.num_requests,
                count.num_errors,
                tuple(count.latencies_s),
                count.num_compared,
                count.num_different,
            )
        return drained

    def put_back(self, drained: Mapping[tuple[str, int], Traffic]) -> None:
        """Take back what nobody has heard: the next `drain` has it."""
        for key, traffic in drained.items():
            self._unheard[key] = traffic + self._unheard.get(key, Traffic())
