"""Documents in a cluster, and what becomes of them there, as the operator sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from eagleray.kube import wanted
from eagleray.kube.actions import Action, Apply, Delete, EmitEvent, Requeue, SetFinalizers, SetStatus
from eagleray.kube.observed import Observed
from eagleray.kube.target import Manifest
from eagleray.kube.wanted import Invalid, Run, Service
from eagleray.spec import document
from tests.support import rendered

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
BEGAN = "2026-01-01T11:00:00Z"
STORAGE = "s3://bucket/runs"


def ago(seconds: float) -> str:
    """A time before now, as Kubernetes writes it."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def fine_tune(name: str = "demo", *, endpoint: str | None = None, cluster: str = "{}", **sections: str) -> Manifest:
    """An object of kind FineTune."""
    more = {} if endpoint is None else {"endpoint": endpoint}
    text = rendered.training(cluster=cluster, storage=STORAGE, **more, **sections)
    read = json.loads(document.loads(text, source="a.yaml").document.model_dump_json(exclude_defaults=True))
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}
    read["spec"].setdefault("task", {})
    return {"apiVersion": "eagleray.io/v1alpha1", "kind": "FineTune", "metadata": metadata, "spec": read["spec"]}


def endpoint(name: str = "films", *, cluster: str = "{}", endpoint: str = "{}") -> Manifest:
    """An object of kind Endpoint."""
    text = rendered.endpoint(endpoint=endpoint, cluster=cluster).replace("spec:\n", f"spec:\n  storage: {STORAGE}\n", 1)
    read = document.loads_endpoint(text, source="a.yaml")
    spec = json.loads(read.model_dump_json(exclude_defaults=True))["spec"]
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}
    return {"apiVersion": "eagleray.io/v1alpha1", "kind": "Endpoint", "metadata": metadata, "spec": spec}


def run(owner: Manifest) -> Run:
    """What a valid FineTune wants."""
    found = wanted.run(owner)
    assert isinstance(found, Run), found
    return found


def service(owner: Manifest) -> Service:
    """What a valid Endpoint wants."""
    found = wanted.service(owner)
    assert not isinstance(found, Invalid), found
    return found


def there(*manifests: Manifest, owner: Manifest, **more: Any) -> Observed:
    """A cluster with these objects in it."""
    children = {(each["kind"], each["metadata"]["name"]): each for each in manifests}
    return Observed(owner, children, **more)


def job(made: Run, *, attempt: int = 1, deployed: str = "", ran: str = "", **status: Any) -> Manifest:
    """The RayJob of a document, in a state."""
    manifest = wanted.of_attempt(made.job, attempt)
    metadata = {**manifest["metadata"], "creationTimestamp": BEGAN, "uid": "uid-job"}
    told = {"startTime": BEGAN, **({"jobDeploymentStatus": deployed} if deployed else {})}
    return {**manifest, "metadata": metadata, "status": {**told, **({"jobStatus": ran} if ran else {}), **status}}


def progress(made: Run, **data: str) -> Manifest:
    """The ConfigMap in which the job tells how far it is."""
    (found,) = [each for each in made.beside if each["metadata"]["name"].endswith("-progress")]
    return {**found, "data": {"updated_at": ago(60), **data}}


def leaving(manifest: Manifest, *finalizers: str) -> Manifest:
    """The same, deleted and not gone."""
    metadata = {**manifest["metadata"], "deletionTimestamp": ago(1)}
    return {**manifest, "metadata": {**metadata, **({"finalizers": list(finalizers)} if finalizers else {})}}


def told(owner: Manifest, **status: Any) -> Manifest:
    """The document with what was told of it before."""
    return {**owner, "status": {**owner.get("status", {}), **status}}


def status(actions: tuple[Action, ...]) -> dict[str, Any]:
    """What would be told; {} where nothing changes."""
    return next((each.status for each in actions if isinstance(each, SetStatus)), {})


def condition(actions: tuple[Action, ...], kind: str) -> tuple[str, str, str]:
    """Truth, reason and message of a condition that would be told."""
    found = next(each for each in status(actions)["conditions"] if each["type"] == kind)
    return found["status"], found["reason"], found["message"]


def events(actions: tuple[Action, ...]) -> list[str]:
    """The reasons of the events."""
    return [each.reason for each in actions if isinstance(each, EmitEvent)]


def changes(actions: tuple[Action, ...]) -> str:
    """What would be done to objects, in short: `+RayJob -Endpoint finalizers`."""
    short = []
    for each in actions:
        match each:
            case Apply(manifest):
                short.append(f"+{manifest['kind']}")
            case Delete(manifest):
                short.append(f"-{manifest['kind']}")
            case SetFinalizers(_, finalizers):
                short.append("hold" if finalizers else "let go")
    return " ".join(short)


def again(actions: tuple[Action, ...]) -> float | None:
    """When it is looked at again."""
    return next((each.after_s for each in actions if isinstance(each, Requeue)), None)
