"""A cluster with KubeRay in it, and an operator that can be killed and started again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import yaml
from kubernetes import client as kubernetes

from eagleray.errors import ClusterError
from eagleray.kube import crd
from eagleray.kube.client import Api
from eagleray.kube.cluster import Cluster
from eagleray.kube.kinds import KINDS, Key, is_listed
from eagleray.kube.metrics import Metrics
from eagleray.kube.reconcile import Reconciler
from eagleray.kube.seen import attempt_of
from eagleray.kube.world import World
from tests.support import rendered
from tests.support.fake_kubernetes import Allowed, ApiServer

PASSES = 60
FOLLOWED = {each.kind for each in KINDS if each.is_followed}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def definitions() -> list[dict[str, Any]]:
    """Kinds like KubeRay's, which take anything, and ours."""
    return [_like("rayjobs", "RayJob"), _like("rayservices", "RayService"), *without_kuberay()]


def real_definitions() -> list[dict[str, Any]]:
    """KubeRay's own, and ours."""
    return [*copy.deepcopy(_kuberays()), *without_kuberay()]


@cache
def _kuberays() -> list[dict[str, Any]]:
    folder = rendered.kuberay_folder()
    return [yaml.load(file.read_text(), Loader=_LOADER) for file in sorted(folder.glob("*.yaml"))]


def _like(plural: str, kind: str) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": plural, "kind": kind, "singular": kind.lower()}
    spec = {"group": "ray.io", "scope": "Namespaced", "names": names, "versions": [version]}
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**head, "metadata": {"name": f"{plural}.ray.io"}, "spec": spec}


def without_kuberay() -> list[dict[str, Any]]:
    """Ours alone."""
    return [crd.fine_tune(), crd.endpoint()]


def shipped_rules(*, namespaces: tuple[str, ...] = ()) -> list[Allowed]:
    """What `cluster/operator` allows the operator; as a Role, in these namespaces alone."""
    folder = rendered.ROOT / "cluster" / "operator"
    found = []
    for file, places in (("access.yaml", namespaces), ("lead.yaml", ("default",))):
        for each in yaml.safe_load_all((folder / file).read_text()):
            if namespaces and each["metadata"]["name"].endswith("-discovery"):
                continue
            for rule in each.get("rules", ()):
                named = tuple(rule.get("resourceNames", ()))
                asked = (tuple(rule[key]) for key in ("verbs", "apiGroups", "resources"))
                found.append(Allowed(*asked, named, places))
    return found


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class KubeRay:
    """What KubeRay, Kubernetes and the pods of a run do, one step each time."""

    def __init__(self, server: ApiServer, clock: Clock) -> None:
        self._server, self._clock = server, clock
        self.outcome = "promoted"
        self.fails = 0
        """So many jobs of a document fail first."""
        self.holds: set[str] = set()
        """Kinds that do not move."""

    def step(self) -> None:
        for job in self._all("RayJob"):
            self._move_job(job)
        for service in self._all("RayService"):
            status = {
                "observedGeneration": service["metadata"]["generation"],
                "serviceStatus": "Running",
                "numServeEndpoints": 1,
                "conditions": [self._condition("Ready", "True")],
            }
            if service.get("status", {}).get("observedGeneration") != status["observedGeneration"]:
                self._tell(service, status)
        for job in self._all("Job"):
            if "status" not in job:
                self._tell(job, {"conditions": [self._condition("Complete", "True")], "succeeded": 1})

    def _move_job(self, job: dict[str, Any]) -> None:
        status = job.get("status", {})
        match status.get("jobDeploymentStatus", ""):
            case "":
                self._tell(job, {"jobDeploymentStatus": "Initializing", "startTime": self._time()})
            case "Initializing":
                self._tell(job, {**status, "jobDeploymentStatus": "Running", "jobStatus": "RUNNING"})
                self._progress(job, phase="train", run=f"{job['metadata']['name']}-0001", steps="1/10")
            case "Running" if attempt_of(job) <= self.fails:
                self._progress(job, outcome="failed", message="a worker was lost")
                ended = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "endTime": self._time()}
                self._tell(job, {**status, **ended})
            case "Running" if self.outcome == "promoted":
                self._progress(job, phase="promote", version="1", outcome="promoted")
                ended = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED", "endTime": self._time()}
                self._tell(job, {**status, **ended})
            case "Running":
                self._progress(job, outcome=self.outcome, message="it was not to be")
                ended = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "endTime": self._time()}
                self._tell(job, {**status, **ended})

    def _progress(self, job: dict[str, Any], **data: str) -> None:
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        told = {"data": {"updated_at": self._time(), **data}}
        self._server.change("ConfigMap", f"{name}-progress", told, namespace=namespace)

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return [] if kind in self.holds or not self._server.knows(kind) else self._server.all(kind)

    def _tell(self, body: dict[str, Any], status: dict[str, Any]) -> None:
        metadata = body["metadata"]
        self._server.change(
            body["kind"], metadata["name"], {"status": status}, namespace=metadata["namespace"], sub="status"
        )

    def _condition(self, kind: str, status: str) -> dict[str, str]:
        return {"type": kind, "status": status, "reason": kind, "message": "", "lastTransitionTime": self._time()}

    def _time(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")


class Operated:
    """A cluster in which an operator works, step by step."""

    def __init__(self, server: ApiServer, clock: Clock) -> None:
        self.server, self.clock, self.kuberay = server, clock, KubeRay(server, clock)
        self.metrics = Metrics()
        self.start()

    def start(self, *, token: str = "operator") -> None:
        """A new operator, which knows nothing of the one before."""
        settings = kubernetes.Configuration(host=self.server.url)
        settings.api_key = {"authorization": f"Bearer {token}"}
        self.cluster, self.world = Cluster(Api(settings)), World()
        self.reconciler = Reconciler(
            self.cluster,
            self.world,
            clock=self.clock,
            by="operator-0",
            metrics=self.metrics,
            wake=lambda keys: self._woken.update(keys),
        )
        self._heard, self._woken = -1, set[Key]()
        self._due: dict[Key, datetime] = {}

    def work(self) -> None:
        """Reconcile until nothing is to be done at once."""
        for _ in range(PASSES):
            keys = self._news() | self._woken | {key for key, at in self._due.items() if at <= self.clock()}
            if not keys:
                return
            self._woken = set()
            for key in sorted(keys, key=str):
                self._due.pop(key, None)
                again = self.reconciler(key)
                if again is not None:
                    self._due[key] = self.clock() + timedelta(seconds=again if again >= 1 else 0)
        raise AssertionError(f"it does not settle: {keys}")

    def resync(self) -> None:
        """Look at everything anew, as the operator does now and then."""
        self._heard = -1
        self.work()

    def _news(self) -> set[Key]:
        """What watches tell; at first, and after a resync, what lists do."""
        heard, self._heard = self._heard, self.server.version
        if heard < 0:
            try:
                return set(self.reconciler.resync([None]))
            except ClusterError:  # it would look again after a while
                self._heard = -1
                return set() if self.server.is_dead else self._news()
        keys: set[Key] = set()
        for what, body in self.server.changes(heard):
            if body["kind"] in FOLLOWED and is_listed(body):
                keys.update(self.world.forget(body) if what == "DELETED" else self.world.see(body))
        return keys

    def live(self, until: Callable[[], bool], *, steps: int = 20) -> None:
        """Let the operator and the cluster go on in turns."""
        for _ in range(steps):
            self.work()
            if until():
                return
            self.kuberay.step()
            self.clock.pass_by(1)
        raise AssertionError(f"it has not come to that: {self.told()}")

    def told(self, name: str = "demo", kind: str = "FineTune") -> dict[str, Any]:
        """The status of a document."""
        found = self.server.get(kind, name)
        return {} if found is None else found.get("status", {})

    def condition(self, type_: str, name: str = "demo", kind: str = "FineTune") -> tuple[str, str, str]:
        found = next(each for each in self.told(name, kind)["conditions"] if each["type"] == type_)
        return found["status"], found["reason"], found["message"]

    def events(self) -> list[str]:
        """The reasons of all events, in the order in which they came."""
        listed = sorted(
            self.server.all_of("events.k8s.io", "Event"), key=lambda each: int(each["metadata"]["resourceVersion"])
        )
        return [each["reason"] for each in listed]

    def is_serving(self) -> bool:
        return self.told().get("phase") == "Serving"


@contextmanager
def running(**how: Any) -> Iterator[Operated]:
    """A cluster with an operator."""
    clock = Clock()
    how.setdefault("crds", definitions())
    with ApiServer(clock=clock, **how) as server:
        yield Operated(server, clock)


def without_what_differs(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects without what no two clusters have in common: ids, versions and times."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key not in _DIFFERS}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    _DIFFERS = {
        *("uid", "resourceVersion", "creationTimestamp", "managedFields", "lastTransitionTime", "generation"),
        *("startTime", "endTime", "updated_at", "observedGeneration", "eagleray.io/applied", "rollout", "rolloutSince"),
        "data",
    }
    return sorted((plain(each) for each in objects), key=lambda each: json.dumps(each, sort_keys=True))
