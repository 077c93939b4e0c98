"""Documents as manifests, and the files that hold them: `python -m tests.support.rendered` writes those anew."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from eagleray.kube import crd, folder, manifests, places, validate, yaml_text
from eagleray.kube.manifests import Rendered
from eagleray.spec import document
from tests.support import documents

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "unit" / "kube" / "golden"
CRDS = ROOT / "cluster" / "crd"
SHARED_CLUSTER = ROOT / "cluster" / "ray"
STORAGE = "s3://bucket/runs"

# Without the files that a document may have beside it.
PLACES = {"data": "{train: pkg://package/train.jsonl}"}
ENDPOINT = """apiVersion: eagleray.io/v1alpha1
kind: Endpoint
metadata: {name: films}
spec:
  models: [{name: films, model: films@champion}]
  endpoint: {ENDPOINT}
  cluster: {CLUSTER}
"""

EVERYTHING = """{image: registry.example/eagleray:1.2, image_pull_secrets: [registry], secrets: [bucket],
    secret_files: {tokens: /etc/tokens}, claim: {name: shared, size: 1Ti, storage_class: nfs}, priority_class: batch,
    workers: {per_pod: 8, memory: 640Gi, shared_memory: 64Gi, scratch: 500Gi, spot: only, tolerate: [team-a],
      node_selector: {cloud.google.com/gke-accelerator: nvidia-h100-80gb}},
    service_account_annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::1:role/runs"},
    queue: research, token_secret: ray-token, kuberay_namespace: kuberay,
    monitoring: {labels: {release: prometheus}}}"""
INCREMENTAL = """{spare_gpus: 2, callers: [envoy-gateway-system],
    redis: {address: "redis:6379", password_secret: redis},
    gateway: {host: models.example.com, name: public, namespace: gateways, class_name: envoy},
    monitoring: {key_secret: metrics-key}}"""


@dataclass(frozen=True, slots=True)
class Case:
    """A document and the way it is rendered."""

    name: str
    text: str
    is_shared: bool = False

    def render(self) -> Rendered:
        return of_text(self.text, is_shared=self.is_shared)


def training(**sections: str) -> str:
    """A training document whose data every pod sees."""
    return documents.text(**{**PLACES, **sections})


def endpoint(*, endpoint: str = "{}", cluster: str = "{}") -> str:
    """An Endpoint."""
    return ENDPOINT.replace("{ENDPOINT}", endpoint).replace("{CLUSTER}", cluster)


CASES = (
    Case("plain", training()),
    Case(
        "everything",
        training(
            scale="{num_workers: 16, cpus_per_worker: 8, gpus_per_worker: 1}",
            monitoring="{port: 9500}",
            cluster=EVERYTHING,
        ),
    ),
    Case("elastic", training(scale="{num_workers: 4, min_workers: 2}", cluster="{workers: {spot: allowed}}")),
    Case(
        "sweep",
        training(
            sweep="{space: {train.learning_rate: {log_uniform: [1.0e-5, 1.0e-3]}}, search: {type: random}, "
            "scheduler: {type: fifo}, budget: {trials: 8}, max_concurrent: 4}",
            cluster="{job: {deadline_s: 86400, retries: 0}}",
        ),
    ),
    Case("pipeline", training(promote="{alias: champion}", endpoint="{replicas: {min: 2, max: 4}}")),
    Case(
        "ingress",
        endpoint(cluster="{callers: [nginx], ingress: {host: models.example.com, class_name: nginx, tls_secret: tls}}"),
    ),
    Case(
        "gateway",
        endpoint(cluster="{callers: [envoy], gateway: {host: models.example.com, name: public, namespace: gateways}}"),
    ),
    Case(
        "incremental",
        endpoint(endpoint="{replicas: {min: 1, max: 4, gpus: 1.0}, drain_s: 90.0}", cluster=INCREMENTAL),
    ),
    Case("shared-cluster", training(cluster='{redis: {address: "redis:6379"}, queue: research}'), is_shared=True),
)


def of_text(text: str, *, is_shared: bool = False, storage: str = STORAGE, namespace: str = "ml") -> Rendered:
    """What a document's text becomes."""
    if "kind: Endpoint" in text:
        served = document.loads_endpoint(text, source="a.yaml")
        return manifests.endpoint(served.metadata.name, served.spec, storage_uri=storage, namespace=namespace)
    trained = document.loads(text, source="a.yaml").document
    if is_shared:
        return manifests.shared_cluster(trained, namespace=namespace)
    return manifests.whole(trained, storage_uri=storage, namespace=namespace, files={})


def of_file(path: Path) -> Rendered:
    """What a shipped document becomes, with the files that it names."""
    if document.kind(path) == "Endpoint":
        return of_text(path.read_text(encoding="utf-8"))
    trained = document.load(path).document
    files = places.beside(trained, path.parent)
    return manifests.whole(trained, storage_uri=STORAGE, namespace="ml", files=files)


def of_kind(rendered: Rendered, kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    (found,) = [manifest for manifest in rendered.manifests if manifest["kind"] == kind]
    return found


def kuberay_folder() -> Path:
    """KubeRay's CRDs: where EAGLERAY_KUBERAY_CRDS points, else beside the checkout; without them, a skip."""
    named = os.environ.get("EAGLERAY_KUBERAY_CRDS")
    place = Path(named) if named else ROOT.parent / "shared" / "kuberay"
    if not place.is_dir():
        pytest.skip(f"KubeRay's CRDs are not in {place}: point EAGLERAY_KUBERAY_CRDS to them")
    return place


def kuberay_crds() -> validate.Crds:
    """Their schemas."""
    return validate.read_crds(kuberay_folder())


def definitions() -> dict[Path, str]:
    """Our own definitions, as they are committed."""
    found = (crd.fine_tune(), crd.endpoint())
    return {CRDS / crd.file_name(definition): yaml_text.dump(definition) for definition in found}


def yaml_of(text: str) -> dict[str, Any]:
    """One object from its text."""
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def write() -> None:
    """Write golden files, definitions and the shared cluster anew."""
    for case in CASES:
        (GOLDEN / f"{case.name}.yaml").write_text(yaml_text.dump_all(case.render().manifests), encoding="utf-8")
    for path, text in definitions().items():
        path.write_text(text, encoding="utf-8")
    folder.write(SHARED_CLUSTER, shared_cluster().manifests)


def shared_cluster() -> Rendered:
    """The Ray cluster of `cluster/ray`."""
    trained = document.load(
        ROOT / "jobs" / "finetune" / "text-classification-zero2.yaml", overrides=["metadata.name=shared"]
    ).document
    return manifests.shared_cluster(trained, namespace="default")


if __name__ == "__main__":
    write()
