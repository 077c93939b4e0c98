"""Which of several replicas works? The one that holds a Lease, and has renewed it in time.

As client-go does it: a lease is another's until it has not been seen to change for as long as it lasts, by the own
clock, so that clocks need not agree. Who cannot renew it stops before others may take it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from eagleray.errors import ClusterError
from eagleray.kube.cluster import Cluster
from eagleray.kube.target import Manifest

NAME: Final = "eagleray-operator"
LASTS_S: Final = 15
RENEW_S: Final = 3.0
GIVE_UP_S: Final = 10.0
"""Shorter than the lease lasts: until another has it, nobody works."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The lease as it was seen last, and when it was first seen like this."""

    version: str
    since: float


def wanted(
    lease: Manifest | None, sight: Sight | None, *, identity: str, clock: float, now: datetime
) -> Manifest | None:
    """The lease as it is to be written; None where it is another's."""
    written = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if lease is None:
        return {"spec": _spec(identity, acquired=written, renewed=written, transitions=0)}
    spec: dict[str, Any] = lease.get("spec", {})
    holder = spec.get("holderIdentity") or ""
    transitions = int(spec.get("leaseTransitions") or 0)
    if holder == identity:
        acquired = spec.get("acquireTime") or written
        return {**lease, "spec": _spec(identity, acquired=acquired, renewed=written, transitions=transitions)}
    lasts_s = float(spec.get("leaseDurationSeconds") or LASTS_S)
    if holder and (sight is None or clock - sight.since < lasts_s):
        return None
    return {**lease, "spec": _spec(identity, acquired=written, renewed=written, transitions=transitions + 1)}


class Leader:
    """Takes the lease, renews it, and knows whether it is held."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        identity: str,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._namespace, self.identity = cluster, namespace, identity
        self._now, self._clock = now, clock
        self._sight: Sight | None = None
        self._renewed_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def leads(self) -> bool:
        """Whether this replica may write."""
        return self._clock() - self._renewed_at < GIVE_UP_S

    def renew(self) -> bool:
        """Take or renew the lease where that can be; returns whether it is held."""
        with self._lock:
            began = self._clock()
            with suppress(ClusterError):  # refused, as another was faster, or nobody answers: `leads` ends by itself
                if self._write(began):
                    self._renewed_at = began  # not when it was answered: others count from when it was written
            return self.leads

    def release(self) -> None:
        """Let another replica take it at once."""
        with self._lock:
            was_held, self._renewed_at = self.leads, float("-inf")
            if not was_held:
                return
            with suppress(ClusterError):  # it runs out by itself
                lease = self._cluster.lease(self._namespace, NAME)
                if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
                    self._cluster.write_lease({**lease, "spec": {**lease["spec"], "holderIdentity": ""}})

    def _write(self, clock: float) -> bool:
        lease = self._cluster.lease(self._namespace, NAME)
        version = "" if lease is None else str(lease["metadata"]["resourceVersion"])
        if self._sight is None or self._sight.version != version:
            self._sight = Sight(version, clock)
        asked = wanted(lease, self._sight, identity=self.identity, clock=clock, now=self._now())
        if asked is None:
            return False
        head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        metadata = asked.get("metadata", {"name": NAME, "namespace": self._namespace})
        self._cluster.write_lease({**head, "metadata": metadata, "spec": asked["spec"]})
        return True


def _spec(identity: str, *, acquired: str, renewed: str, transitions: int) -> dict[str, Any]:
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": LASTS_S,
        "acquireTime": acquired,
        "renewTime": renewed,
        "leaseTransitions": transitions,
    }
