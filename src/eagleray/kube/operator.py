"""The operator as a process: threads that reconcile while this replica leads, and what wakes them."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Self

from eagleray.errors import ClusterError
from eagleray.kube.cluster import Cluster
from eagleray.kube.health import Health
from eagleray.kube.leader import RENEW_S, Leader
from eagleray.kube.metrics import Metrics
from eagleray.kube.reconcile import LONGEST_WAIT_S, Deposed, Reconciler
from eagleray.kube.target import Manifest
from eagleray.kube.workqueue import WorkQueue
from eagleray.kube.world import World

WORKERS: Final = 4
RESYNC_S: Final = 60.0
_log = logging.getLogger("eagleray.operator")


class Operator:
    """Takes what watches tell, and has it reconciled. Leaving its context ends it, and gives up the lead."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespaces: Sequence[str] | None,
        own_namespace: str,
        health_port: int,
        resync_s: float = RESYNC_S,
    ) -> None:
        """`namespaces` are those that it looks after, None for all; the lease is in its own."""
        self._namespaces: Sequence[str | None] = [None] if namespaces is None else list(namespaces)
        self._resync_s = resync_s
        self._metrics, self._world, self._queue = Metrics(), World(), WorkQueue()
        identity = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._leader = Leader(cluster, namespace=own_namespace, identity=identity, now=_now)
        self._reconcile = Reconciler(
            cluster,
            self._world,
            clock=_now,
            by=identity,
            metrics=self._metrics,
            wake=self._queue.add,
            may_write=lambda: self._leader.leads,
        )
        self._ends, self._resync_is_due = threading.Event(), threading.Event()
        self._has_looked, self._is_leading = False, False
        self._beats: dict[str, float] = {}
        self._health = Health(
            health_port, is_alive=self._is_alive, is_ready=lambda: self._has_looked, metrics=self._text
        )
        named: list[tuple[str, Callable[[], None]]] = [("lead", self._lead), ("resync", self._resync)]
        named += [(f"work-{number}", self._work) for number in range(WORKERS)]
        self._threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in named]

    def __enter__(self) -> Self:
        self._health.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._resync_is_due.set()
        self._queue.close()
        for thread in self._threads:
            thread.join(LONGEST_WAIT_S)
        self._leader.release()
        self._health.__exit__()

    @property
    def health_port(self) -> int:
        """Where it tells of itself."""
        return self._health.port

    def seen(self, manifest: Manifest, *, is_gone: bool) -> None:
        """A watch tells of an object."""
        self._queue.add(self._world.forget(manifest) if is_gone else self._world.see(manifest))

    def _work(self) -> None:
        while (key := self._queue.take()) is not None:
            try:
                again = self._reconcile(key) if self._leader.leads else None
                if again is not None:
                    self._queue.add_after(key, again)
            except Deposed:
                _log.info("%s: another replica leads now", key)
            except Exception:
                # A mistake of ours in one document must not end the work on all others.
                _log.exception("%s %s/%s", key.kind, key.namespace, key.name)
                self._metrics.failed()
                self._queue.add_after(key, LONGEST_WAIT_S)
            finally:
                self._queue.done(key)

    def _lead(self) -> None:
        while not self._ends.is_set():
            leads = self._leader.renew()
            if leads != self._is_leading:
                self._is_leading = leads
                _log.info("%s %s", self._leader.identity, "leads" if leads else "does not lead")
                self._metrics.set("eagleray_operator_leads", float(leads))
                self._resync_is_due.set()  # who takes over plans for every document anew
            self._beats["lead"] = time.monotonic()
            self._ends.wait(RENEW_S)

    def _resync(self) -> None:
        while not self._ends.is_set():
            self._resync_is_due.clear()
            began = time.monotonic()
            wait_s = self._resync_s
            try:
                self._queue.add(self._reconcile.resync(self._namespaces))
                self._has_looked = True
                self._metrics.resynced(time.monotonic() - began)
            except ClusterError as error:
                _log.warning("the cluster could not be looked at: %s", error)
                wait_s = min(5.0, self._resync_s)
            self._beats["resync"] = time.monotonic()
            self._resync_is_due.wait(wait_s)

    def _is_alive(self) -> bool:
        """Whether the threads that must come round have done so, and all are there."""
        late_s = 2 * self._resync_s + 120
        return all(thread.is_alive() for thread in self._threads) and all(
            time.monotonic() - beat < late_s for beat in self._beats.values()
        )

    def _text(self) -> str:
        self._metrics.set("eagleray_operator_queue", len(self._queue))
        return self._metrics.text(self._world.phases())


def own_namespace() -> str:
    """The namespace of this pod; outside of one, that of the command's account cannot be known."""
    return os.environ.get("EAGLERAY_OPERATOR_NAMESPACE", "default")


def _now() -> datetime:
    return datetime.now(UTC)
