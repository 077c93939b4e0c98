"""How is a document brought to what it asks for? Look, plan, act: the same whatever has changed, and if nothing has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from eagleray.errors import ClusterError
from eagleray.kube import drift, kuberay, plan, rollout, wanted
from eagleray.kube.actions import Action, Apply, Delete, EmitEvent, Requeue, SetFinalizers, SetStatus
from eagleray.kube.client import Refused
from eagleray.kube.cluster import Cluster
from eagleray.kube.kinds import KINDS, Key, is_listed
from eagleray.kube.kuberay import KubeRay
from eagleray.kube.metrics import Metrics
from eagleray.kube.observed import Observed, Refusal
from eagleray.kube.target import Manifest
from eagleray.kube.wanted import DOCUMENT, Invalid, Run
from eagleray.kube.world import World

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
SOON_S: Final = 0.2
_REFUSALS: Final = (400, 403, 404, 422)
"""What waiting alone does not mend: it is told of the document."""


@dataclass(frozen=True, slots=True)
class _Settled:
    """From what a plan was made that had nothing to do."""

    state: object
    kuberay: KubeRay
    rival: str | None


class Deposed(Exception):
    """Another replica leads now: nothing more may be written."""


class Reconciler:
    """Reconciles documents, any number of them at once, but one never twice at once."""

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        *,
        clock: Callable[[], datetime],
        by: str,
        metrics: Metrics,
        wake: Callable[[Iterable[Key]], None],
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        """`by` names this replica in events; `wake` hears whom a write concerns; `may_write` is asked before each."""
        self._cluster, self._world, self._clock, self._by = cluster, world, clock, by
        self._metrics, self._wake, self._may_write = metrics, wake, may_write
        self._kuberay = KubeRay(True)
        self._settled: dict[Key, _Settled] = {}
        self._refusals: dict[Key, Refusal] = {}
        self._failures: dict[Key, int] = {}

    def resync(self, namespaces: Sequence[str | None]) -> set[Key]:
        """Look at everything anew; returns whom that concerns. Raises ClusterError."""
        self._kuberay = kuberay.look(self._cluster)
        for kind in KINDS:
            for namespace in namespaces:
                try:
                    self._world.replace(kind.kind, namespace, self._cluster.list(kind, namespace))
                except Refused as refused:
                    # A kind that the operator may not see is said once it is to be made.
                    if refused.status != 403 or kind.is_followed:
                        raise
        return set(self._world.keys())

    def __call__(self, key: Key) -> float | None:
        """Do what is to be done for a document now; returns after how many seconds it is to be looked at again."""
        owner = self._world.get(key.kind, key.namespace, key.name)
        if owner is None:
            self._forget(key)
            return None
        rival = self._rival(key, owner)
        seen = _Settled(self._world.state(key), self._kuberay, rival)
        if self._settled.get(key) == seen:
            return None
        self._metrics.planned()
        try:
            actions = self._plan(key, owner, rival)
            again = self._perform(actions, key)
        except Refused as refused:
            return self._refused(key, refused)
        except ClusterError:
            return self._wait(key)
        self._failures.pop(key, None)
        if self._refusals.pop(key, None) is not None:
            return SOON_S  # to tell that it is mended
        if not actions:
            self._settled[key] = seen
        return again

    def _plan(self, key: Key, owner: Manifest, rival: str | None) -> tuple[Action, ...]:
        if key.kind == "Endpoint":
            service = wanted.service(owner)
            asked = () if isinstance(service, Invalid) else (*service.beside, service.service)
            lacks = () if isinstance(service, Invalid) else self._kuberay.lacks(service.service)
            return rollout.plan(service, self._observed(key, owner, asked, lacks=lacks), self._clock())
        run = wanted.run(owner)
        asked = () if isinstance(run, Invalid) else (*run.beside, run.job, *((run.endpoint,) if run.endpoint else ()))
        lacks = () if isinstance(run, Invalid) else self._kuberay.lacks(run.job)
        observed = self._observed(key, owner, asked, lacks=lacks, rival=rival)
        return plan.plan(run, observed, self._clock(), begun=self._begun(run, observed))

    def _begun(self, run: Run | Invalid, observed: Observed) -> Run | None:
        """What the job there was made from, where that is not what the document asks for now."""
        job = observed.child("RayJob", observed.name)
        if job is None or (isinstance(run, Run) and drift.note(job, DOCUMENT) == run.digest):
            return None
        return wanted.begun(observed.owner, observed.child("ConfigMap", f"{observed.name}-document"))

    def _observed(
        self,
        key: Key,
        owner: Manifest,
        asked: Iterable[Manifest],
        *,
        lacks: tuple[str, ...],
        rival: str | None = None,
    ) -> Observed:
        around = self._world.around(key)
        children = {(each["kind"], each["metadata"]["name"]): each for each in around if each["kind"] != "Pod"}
        for each in asked:
            ref = each["kind"], each["metadata"]["name"]
            there = None if ref in children else self._named(each)
            if there is not None:
                children[ref] = there
        pods = tuple(each for each in around if each["kind"] == "Pod")
        return Observed(owner, children, pods, lacks, rival, self._refusals.get(key))

    def _named(self, manifest: Manifest) -> Manifest | None:
        """What has the name of an object that is asked for. Of somebody else's nobody tells us: it is read anew."""
        metadata = manifest["metadata"]
        there = self._world.get(manifest["kind"], metadata["namespace"], metadata["name"])
        if there is None or is_listed(there):
            return there
        now = self._cluster.read(manifest)
        if now is None:
            self._world.forget(there)
        else:
            self._world.see(now)
        return now

    def _rival(self, key: Key, owner: Manifest) -> str | None:
        """An older document of the same name on the same storage."""
        if key.kind != "FineTune":
            return None
        storage = owner.get("spec", {}).get("storage")
        older = sorted(
            _age(each)
            for each in self._world.namesakes(key)
            if each.get("spec", {}).get("storage") == storage and _age(each) < _age(owner)
        )
        return f"{older[0][1]}/{key.name}" if older else None

    def _perform(self, actions: tuple[Action, ...], key: Key) -> float | None:
        """Carry out; returns when to look again. Raises Refused, ClusterError, Deposed."""
        again = None
        for action in actions:
            if not self._may_write():
                raise Deposed
            match action:
                case Apply(manifest):
                    if not self._apply(manifest, key):
                        return SOON_S
                case Delete(manifest):
                    self._cluster.delete(manifest)
                case SetStatus():
                    self._wake(self._world.see(self._cluster.set_status(action)))
                case SetFinalizers():
                    self._owner_changed(self._cluster.set_finalizers(action))
                    return SOON_S
                case EmitEvent():
                    self._cluster.emit(action, now=self._clock(), by=self._by)
                case Requeue(after_s):
                    again = after_s
            self._metrics.performed(action)
        return again

    def _apply(self, manifest: Manifest, key: Key) -> bool:
        """Apply an object; False where there turned out to be one of this name that the plan knew nothing of."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if not self._world.has(kind, key.namespace, name):
            there = self._cluster.read(manifest)
            if there is not None:
                self._world.see(there)
                return False
        self._wake(self._world.see(self._cluster.apply(manifest)))
        return True

    def _owner_changed(self, owner: Manifest) -> None:
        metadata = owner["metadata"]
        is_gone = "deletionTimestamp" in metadata and not metadata.get("finalizers")
        self._wake(self._world.forget(owner) if is_gone else self._world.see(owner))

    def _refused(self, key: Key, refused: Refused) -> float | None:
        if refused.status == 409:  # the plan was made from what is no longer so
            self._refresh(key)
            return SOON_S
        if refused.status == 429 and refused.retry_after_s is not None:
            return refused.retry_after_s
        if refused.status in _REFUSALS:
            if refused.status == 404 and not self._refresh(key):
                return SOON_S
            refusal = Refusal(refused.status, str(refused))
            if self._refusals.get(key) != refusal:
                self._refusals[key] = refusal
                return SOON_S  # to tell it
        return self._wait(key)

    def _refresh(self, key: Key) -> bool:
        """Read a document anew; False where it is gone."""
        owner = self._world.get(key.kind, key.namespace, key.name)
        try:
            there = None if owner is None else self._cluster.read(owner)
        except ClusterError:
            return True
        if there is not None:
            self._world.see(there)
        elif owner is not None:
            self._world.forget(owner)
        return there is not None

    def _wait(self, key: Key) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._metrics.failed()
        # The exponent is bounded: 1.0 * 2**1024 is an OverflowError, for a document that waits for days.
        return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(failures, 10)))

    def _forget(self, key: Key) -> None:
        self._settled.pop(key, None)
        self._refusals.pop(key, None)
        self._failures.pop(key, None)


def _age(manifest: Manifest) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["namespace"]
