"""What does an endpoint tell Prometheus?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from eagleray.monitoring.families import ENDPOINT

_FAMILY_BEGINS = re.compile(r"^(?=# HELP )", re.MULTILINE)  # a label's line breaks are escaped


class Telemetry:
    """The counters of one replica, all with its name as a label, so that those of several can stand side by side."""

    def __init__(self, replica: str) -> None:
        self._registry, self._replica = CollectorRegistry(), replica
        self._requests = self._counter("requests_total")
        self._seconds = self._histogram("request_seconds")
        self._queue = self._histogram("queue_seconds")
        self._model = self._histogram("model_seconds")
        self._rows = self._histogram("batch_inputs")
        self._tokens = self._counter("tokens_total")
        self._version = self._gauge("model_version")

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

    def _counter(self, name: str) -> Counter:
        family = ENDPOINT[name]
        return Counter(family.name, family.help, family.labels, registry=self._registry)

    def _gauge(self, name: str) -> Gauge:
        family = ENDPOINT[name]
        return Gauge(family.name, family.help, family.labels, registry=self._registry)

    def _histogram(self, name: str) -> Histogram:
        family = ENDPOINT[name]
        return Histogram(family.name, family.help, family.labels, registry=self._registry, buckets=family.buckets)


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
    replicas = ENDPOINT["replicas"]
    Gauge(replicas.name, replicas.help, registry=registry).set(num_replicas)
    families = ("".join((head, *samples[name])) for name, head in heads.items())
    return "".join((*families, generate_latest(registry).decode()))
