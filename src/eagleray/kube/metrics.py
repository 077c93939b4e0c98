"""What has the operator done so far, in the text format that Prometheus reads?"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from eagleray.kube.actions import Action


class Metrics:
    """Counters and gauges. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._gauges: dict[str, float] = {}

    def planned(self) -> None:
        """A plan was made."""
        self._add("eagleray_operator_plans_total")

    def performed(self, action: Action) -> None:
        """Something was done."""
        self._add(f'eagleray_operator_actions_total{{action="{type(action).__name__}"}}')

    def failed(self) -> None:
        """A document could not be brought to what it asks for, this time."""
        self._add("eagleray_operator_failures_total")

    def resynced(self, seconds: float) -> None:
        """Everything was looked at anew."""
        self._add("eagleray_operator_resyncs_total")
        self.set("eagleray_operator_resync_seconds", seconds)

    def set(self, name: str, value: float) -> None:
        """How much of something there is now."""
        with self._lock:
            self._gauges[name] = value

    def text(self, phases: Mapping[tuple[str, str], int]) -> str:
        """All of them; `phases` are the documents by kind and phase."""
        with self._lock:
            rows = {**self._counters, **self._gauges}
        documents = {
            f'eagleray_operator_documents{{kind="{kind}",phase="{phase}"}}': number
            for (kind, phase), number in phases.items()
        }
        return "".join(f"{name} {value:g}\n" for name, value in sorted((rows | documents).items()))

    def _add(self, name: str) -> None:
        with self._lock:
            self._counters[name] += 1
