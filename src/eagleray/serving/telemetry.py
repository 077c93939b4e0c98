"""What does an endpoint tell Prometheus?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_FAMILY_BEGINS = re.compile(r"^(?=# HELP )", re.MULTILINE)  # a label's line breaks are escaped


class Telemetry:
    """The counters of one replica, all with its name as a label, so that those of several can stand side by side."""

    def __init__(self, replica: str) -> None:
        self._registry, self._replica = CollectorRegistry(), replica
        self._requests = self._counter("requests", "Requests answered.", "route", "status", "model", "version")
        self._seconds = self._histogram("request_seconds", "From the first byte to the last.", _SECONDS, "route")
        self._queue = self._histogram("queue_seconds", "An input's wait for its batch.", _SECONDS, "model")
        self._model = self._histogram("model_seconds", "A batch in the model.", _SECONDS, "model")
        self._rows = self._histogram("batch_inputs", "Inputs in a batch.", _SIZES, "model")
        self._tokens = self._counter("tokens", "Tokens: read, padding, generated.", "model", "kind")
        self._version = self._gauge("model_version", "Version that a model name is answered by.", "model", "role")

    def request(self, *, route: str, status: int, model: str, version: str, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(self._replica, route, str(status), model, version).inc()
        self._seconds.labels(self._replica, route).observe(seconds)

    def batch(
        self, *, model: str, num_inputs: int, num_tokens: int, num_padded: int, model_s: float, waited_s: list[float]
    ) -> None:
        """Count a batch that was answered."""
        for waited in waited_s:
            self._queue.labels(self._replica, model).observe(waited)
        self._model.labels(self._replica, model).observe(model_s)
        self._rows.labels(self._replica, model).observe(num_inputs)
        self._tokens.labels(self._replica, model, "read").inc(num_tokens)
        self._tokens.labels(self._replica, model, "padding").inc(num_padded - num_tokens)

    def generated(self, *, model: str, num_read: int, num_generated: int) -> None:
        """Count a text that was generated."""
        self._tokens.labels(self._replica, model, "read").inc(num_read)
        self._tokens.labels(self._replica, model, "generated").inc(num_generated)

    def versions(self, model: str, *, stable: int, candidate: int | None) -> None:
        """Tell which versions answer now; 0 where there is no candidate."""
        self._version.labels(self._replica, model, "stable").set(stable)
        self._version.labels(self._replica, model, "candidate").set(candidate or 0)

    def text(self) -> str:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry).decode()

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"eagleray_{name}", help_text, ("replica", *labels), registry=self._registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"eagleray_{name}", help_text, ("replica", *labels), registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(
            f"eagleray_{name}", help_text, ("replica", *labels), registry=self._registry, buckets=tuple(buckets)
        )


def merged(texts: Iterable[str], *, num_replicas: int) -> str:
    """The metrics of several replicas as one text, in which each family stands once.

    By their lines: to parse and write those of 16 replicas would keep the coordinator from everything else for 0.1 s.
    """
    heads: dict[str, str] = {}
    samples: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        for family in _FAMILY_BEGINS.split(text)[1:]:
            help_line, type_line, lines = family.split("\n", 2)
            name = help_line.split(" ", 3)[2]
            heads.setdefault(name, f"{help_line}\n{type_line}\n")
            samples[name].append(lines)
    registry = CollectorRegistry()
    Gauge("eagleray_replicas", "Replicas that gave a sign of life.", registry=registry).set(num_replicas)
    families = ("".join((head, *samples[name])) for name, head in heads.items())
    return "".join((*families, generate_latest(registry).decode()))
