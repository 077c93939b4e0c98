"""The section `cluster`: what it takes, and what is said of the rest."""

from __future__ import annotations

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document
from tests.support import documents

AMOUNT = "an amount of memory as Kubernetes writes it, such as 8Gi or 500M"


@pytest.mark.parametrize(
    ("cluster", "finding"),
    [
        pytest.param("{workers: {memory: 8GB}}", f'workers.memory: expected {AMOUNT}, got the string "8GB"', id="unit"),
        pytest.param(
            "{workers: {memory: 8}}",
            f"workers.memory: expected {AMOUNT}, got the number 8: put it in quotes",
            id="number",
        ),
        pytest.param(
            "{workers: {memory: 1Gi, shared_memory: 1024Mi}}",
            "workers.shared_memory: 1024Mi is a part of memory 1Gi, and must be less",
            id="shared-memory",
        ),
        pytest.param(
            "{claim: {name: Shared}}",
            'claim.name: expected the name of a Kubernetes object: lower-case letters, digits, "-" and ".", '
            'got the string "Shared"',
            id="name",
        ),
        pytest.param(
            "{claim: {name: a, mount_path: shared}}",
            'claim.mount_path: expected an absolute directory, such as /shared, got the string "shared"',
            id="relative-mount",
        ),
        pytest.param(
            "{claim: {name: a, mount_path: /spec}}",
            "claim.mount_path: /spec and /spec, which is mounted too, overlap: give another directory",
            id="taken-mount",
        ),
        pytest.param(
            "{claim: {name: a, mount_path: /data}, secret_files: {keys: /data/keys}}",
            "claim.mount_path: /data and /data/keys, which is mounted too, overlap: give another directory",
            id="mount-in-a-mount",
        ),
        pytest.param(
            "{workers: {spot: sometimes}}",
            'workers.spot: expected one of "never", "allowed", "only", got the string "sometimes"',
            id="spot",
        ),
        pytest.param(
            "{callers: [a], ingress: {host: a.b}, gateway: {host: a.b, name: c}}",
            "gateway: excludes `ingress`: keep the one that your cluster has",
            id="two-ways",
        ),
        pytest.param(
            "{gateway: {host: a.b, name: c}}",
            "callers: is empty: name the namespace in which the controller of the gateway runs",
            id="a-way-for-nobody",
        ),
        pytest.param(
            "{service_account: a, service_account_annotations: {b: c}}",
            "service_account_annotations: are for an account that is made: leave service_account out",
            id="annotations-of-another",
        ),
    ],
)
def test_findings(cluster: str, finding: str) -> None:
    with pytest.raises(DocumentError) as raised:
        document.loads(documents.text(cluster=cluster), source="a.yaml")

    assert f"a.yaml:8: spec.cluster.{finding}" in [str(found) for found in raised.value.findings]


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param("{}", id="nothing"),
        pytest.param("{workers: {memory: 1.5Gi, shared_memory: 500M}}", id="amounts"),
        pytest.param("{claim: {name: a, mount_path: /data}, secret_files: {keys: /data2}}", id="mounts-side-by-side"),
        pytest.param("{callers: [nginx], ingress: {host: a.b}}", id="ingress"),
    ],
)
def test_valid(cluster: str) -> None:
    assert document.loads(documents.text(cluster=cluster), source="a.yaml").document.spec.cluster is not None
