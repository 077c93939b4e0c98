"""Which objects does a document need in a cluster?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eagleray.kube import access, disruption, monitoring, network, places, rayjob, rayservice, storage, upgrade
from eagleray.kube import raycluster as rayclusters
from eagleray.kube.raycluster import Size
from eagleray.kube.target import Manifest, Target
from eagleray.kube.volumes import Files
from eagleray.spec import serving
from eagleray.spec.cluster import ClusterSpec
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.spec.serving import ServingSpec


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects, in an order in which they can be applied, and what should be known about them."""

    manifests: tuple[Manifest, ...]
    notes: tuple[str, ...] = ()

    def __add__(self, other: Rendered) -> Rendered:
        """Both, each object once: the parts of a document share its claim."""
        known = {key(manifest) for manifest in self.manifests}
        new = (manifest for manifest in other.manifests if key(manifest) not in known)
        return Rendered((*self.manifests, *new), (*self.notes, *other.notes))


def whole(document: FineTune, *, storage_uri: str, namespace: str, files: Files) -> Rendered:
    """All that a training document asks for: its run, and its endpoint where it has one."""
    run = training(document, storage_uri=storage_uri, namespace=namespace, files=files)
    if document.spec.endpoint is None:
        return run
    name, spec = document.metadata.name, serving.of_training(document)
    order = f"RayService {name}: wants {spec.models[0].model}: apply it after the run has promoted a version"
    return run + endpoint(name, spec, storage_uri=storage_uri, namespace=namespace) + Rendered((), (order,))


def training(document: FineTune, *, storage_uri: str, namespace: str, files: Files) -> Rendered:
    """A RayJob, with the document that it carries to its promotion.

    Raises DocumentError for what the pods would not see, or a cluster would not take.
    """
    cluster = document.spec.cluster or ClusterSpec()
    places.check_name(document.metadata.name)
    places.check_storage(storage_uri, cluster)
    places.check_training(document, files)
    told = document.spec.monitoring
    target = Target(document.metadata.name, "train", namespace, cluster, metrics_port=told.port if told else None)
    written = _for_pods(document, storage_uri=storage_uri)
    job, size = rayjob.build(target, document.spec, files=files), rayjob.size(target, document.spec)
    found = (*_around(target, size), storage.document(target, dump(written), files), job)
    return Rendered(found, _pods("RayJob", target, size))


def endpoint(name: str, spec: ServingSpec, *, storage_uri: str, namespace: str) -> Rendered:
    """A RayService, and the way to it. Raises DocumentError for what cannot be served on a cluster."""
    cluster = spec.cluster or ClusterSpec()
    places.check_name(name)
    places.check_storage(storage_uri, cluster)
    places.check_endpoint(spec)
    target = Target(name, "serve", namespace, cluster)
    size = rayservice.size(target, spec)
    chosen = upgrade.choose(target, size)
    service = rayservice.build(target, spec, storage=storage_uri, upgrade=chosen)
    way = []
    if cluster.ingress is not None:
        way.append(network.ingress(target))
    if cluster.gateway is not None and not chosen.is_stepwise:  # KubeRay makes that route itself
        way.append(network.route(target))
    return Rendered(
        (*_around(target, size), *way, service),
        (*_pods("RayService", target, size), f"RayService {name}: {chosen.words}"),
    )


def shared_cluster(document: FineTune, *, namespace: str) -> Rendered:
    """A RayCluster as large as the run of a document needs, that waits for jobs of anybody."""
    cluster = document.spec.cluster or ClusterSpec()
    places.check_name(document.metadata.name)
    target = Target(document.metadata.name, "cluster", namespace, cluster)
    size = rayjob.size(target, document.spec)
    return Rendered((*_around(target, size), rayclusters.shared(target, size)), _pods("RayCluster", target, size))


def key(manifest: Manifest) -> tuple[str, str]:
    """Which object it is, within a namespace."""
    return manifest["kind"], manifest["metadata"]["name"]


def file_name(manifest: Manifest) -> str:
    """The file it is written to: `rayjob-demo.yaml`."""
    kind, name = key(manifest)
    return f"{kind.lower()}-{name}.yaml"


def _for_pods(document: FineTune, *, storage_uri: str) -> FineTune:
    """The document as its pods read it. A NetworkPolicy says who reaches the metrics there, not the address."""
    changed: dict[str, Any] = {"storage": storage_uri}
    if document.spec.monitoring is not None:
        changed["monitoring"] = document.spec.monitoring.model_copy(update={"host": "0.0.0.0"})
    return document.model_copy(update={"spec": document.spec.model_copy(update=changed)})


def _around(target: Target, size: Size) -> list[Manifest]:
    return [
        *storage.claim(target),
        *access.build(target),
        network.policy(target),
        *disruption.build(target, size),
        *monitoring.build(target),
    ]


def _pods(kind: str, target: Target, size: Size) -> tuple[str, ...]:
    number = f"{size.fewest} to {size.most}" if size.fewest != size.most else str(size.most)
    each = [f"{size.cpus:g} CPU{'s'[: size.cpus != 1]}", target.workers.memory]
    if size.gpus:
        each.append(f"{size.gpus} GPU{'s'[: size.gpus != 1]}")
    pods = f"{number} worker pod{'s'[: size.most != 1]}, each {', '.join(each)}"
    return (f"{kind} {target.name}: {pods}; image {target.image}",)
