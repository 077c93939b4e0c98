"""Which objects does a document in the cluster want, made for the operator: owned, marked and named?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from eagleray.errors import DocumentError, UserError
from eagleray.kube import cleaning, drift, manifests, pods, rayservice, volumes
from eagleray.kube.target import GROUP, Manifest, Target
from eagleray.spec import document, locations, serving
from eagleray.spec.cluster import ClusterSpec, LifecycleSpec
from eagleray.spec.finetune import API_VERSION, FineTune

DOCUMENT: Final = f"{GROUP}/document"
"""The annotation of a job that says which document it carries."""
ATTEMPT: Final = f"{GROUP}/attempt"

_DEFAULT: Final = LifecycleSpec()


@dataclass(frozen=True, slots=True)
class Invalid:
    """A document that cannot be carried out, in the words of the command line."""

    message: str
    lifecycle: LifecycleSpec = _DEFAULT


@dataclass(frozen=True, slots=True)
class Run:
    """What a training document wants."""

    digest: str  # of all that makes it another run
    beside: tuple[Manifest, ...]
    job: Manifest
    endpoint: Manifest | None  # the object of kind Endpoint
    cleaning: Manifest
    lifecycle: LifecycleSpec
    start_deadline_s: int


@dataclass(frozen=True, slots=True)
class Service:
    """What a serving document wants."""

    beside: tuple[Manifest, ...]
    service: Manifest
    start_deadline_s: int
    url: str


def run(owner: Manifest) -> Run | Invalid:
    """What a FineTune wants, or why it can want nothing."""
    try:
        read = document.loads(_text(owner), source=_source(owner)).document
        return _run(owner, read)
    except UserError as error:
        return Invalid(_words(error), _lifecycle(owner))


def begun(owner: Manifest, kept: Manifest | None) -> Run | None:
    """What the document wanted that its job was made from; None where that is not there any more."""
    text = ((kept or {}).get("data") or {}).get(volumes.DOCUMENT_FILE)
    if text is None:
        return None
    try:
        return _run(owner, document.loads(text, source=_source(owner)).document)
    except UserError:
        return None


def service(owner: Manifest) -> Service | Invalid:
    """What an Endpoint wants, or why it can want nothing."""
    metadata = owner["metadata"]
    try:
        read = document.loads_endpoint(_text(owner), source=_source(owner))
        storage = read.spec.storage or locations.DEFAULT_STORAGE
        rendered = manifests.endpoint(
            read.metadata.name, read.spec, storage_uri=storage, namespace=metadata["namespace"]
        )
    except UserError as error:
        return Invalid(_words(error))
    *beside, made = (_owned(owner, each) for each in rendered.manifests)
    cluster = read.spec.cluster or ClusterSpec()
    return Service(
        tuple(map(drift.marked, beside)),
        drift.marked(made),
        start_deadline_s=cluster.job.start_deadline_s or 3600,
        url=_url(Target(read.metadata.name, "serve", metadata["namespace"], cluster)),
    )


def of_attempt(job: Manifest, attempt: int) -> Manifest:
    """The job, as the document's so many-th."""
    annotations = {**job["metadata"].get("annotations", {}), ATTEMPT: str(attempt)}
    return {**job, "metadata": {**job["metadata"], "annotations": annotations}}


def _run(owner: Manifest, read: FineTune) -> Run:
    storage = read.spec.storage or locations.DEFAULT_STORAGE
    namespace = owner["metadata"]["namespace"]
    rendered = manifests.training(read, storage_uri=storage, namespace=namespace, files={})
    *beside, job = (_owned(owner, each) for each in rendered.manifests)
    cluster = read.spec.cluster or ClusterSpec()
    digest = _digest(read)
    return Run(
        digest=digest,
        beside=tuple(map(drift.marked, beside)),
        job=drift.marked(job, **{DOCUMENT: digest}),
        endpoint=_endpoint(owner, read, storage),
        cleaning=drift.marked(_owned(owner, cleaning.build(read, storage_uri=storage, namespace=namespace))),
        lifecycle=cluster.lifecycle,
        start_deadline_s=cluster.job.start_deadline_s or 3600,
    )


def _endpoint(owner: Manifest, read: FineTune, storage: str) -> Manifest | None:
    if read.spec.endpoint is None:
        return None
    spec = serving.of_training(read).model_copy(update={"storage": storage})
    metadata = {
        "name": read.metadata.name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {"app.kubernetes.io/managed-by": "eagleray"},
    }
    made = {
        "apiVersion": API_VERSION,
        "kind": "Endpoint",
        "metadata": metadata,
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
    }
    return drift.marked(_owned(owner, made))


def _url(target: Target) -> str:
    """Where the endpoint answers, for whoever may call it."""
    if target.cluster.ingress is not None:
        scheme = "https" if target.cluster.ingress.tls_secret is not None else "http"
        return f"{scheme}://{target.cluster.ingress.host}"
    if target.cluster.gateway is not None:
        return f"https://{target.cluster.gateway.host}"
    return f"http://{rayservice.service(target)}.{target.namespace}.svc:{pods.PORTS['serve']}"


def _digest(read: FineTune) -> str:
    """Of what a run is made from. How it is served, held or tried again makes no other run of it."""
    spec = json.loads(dump_json(read))["spec"]
    cluster = {key: value for key, value in (spec.pop("cluster", None) or {}).items() if key != "lifecycle"}
    spec.pop("endpoint", None)
    return drift.digest({**spec, "cluster": cluster})


def dump_json(read: FineTune) -> str:
    """The document with every value that is not the default, so that a new key changes no old document."""
    return read.model_dump_json(exclude_defaults=True)


def _owned(owner: Manifest, manifest: Manifest) -> Manifest:
    """A claim is nobody's: what lies on it outlives the document."""
    if manifest["kind"] == "PersistentVolumeClaim":
        return manifest
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def _text(owner: Manifest) -> str:
    """The object as the text of a document: what Kubernetes has added is no part of it."""
    kept: dict[str, Any] = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "metadata": {"name": owner["metadata"]["name"]},
        "spec": owner.get("spec", {}),
    }
    return json.dumps(kept)


def _source(owner: Manifest) -> str:
    return f"{owner['kind']}/{owner['metadata']['name']}"


def _words(error: UserError) -> str:
    """Without the place in a file, which there is none of."""
    if isinstance(error, DocumentError):
        return "\n".join(": ".join(filter(None, (each.path, each.message))) for each in error.findings)
    return str(error)


def _lifecycle(owner: Manifest) -> LifecycleSpec:
    """What an invalid document still says of this, so that it can be ended."""
    cluster: Mapping[str, Any] = (owner.get("spec") or {}).get("cluster") or {}
    try:
        return LifecycleSpec.model_validate_json(json.dumps(cluster.get("lifecycle") or {}))
    except (ValidationError, AttributeError):
        return LifecycleSpec()
