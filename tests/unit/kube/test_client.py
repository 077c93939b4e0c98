"""What the API server is asked, and what is made of its answers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagleray.errors import ClusterError, UserError
from eagleray.kube import client, difference, validate
from eagleray.kube.client import Refused
from tests.support import api_server, rendered
from tests.support.api_server import ApiServer

MANIFESTS = {each["kind"]: each for case in rendered.CASES for each in case.render().manifests}
POLICY, PATH = MANIFESTS["NetworkPolicy"], "/apis/networking.k8s.io/v1/namespaces/ml/networkpolicies/"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server.running() as found:
        yield found


def test_knows_the_path_of_every_kind_that_is_made() -> None:
    assert set(MANIFESTS) == set(client.PLURALS)
    assert client.path(MANIFESTS["ConfigMap"]).startswith("/api/v1/namespaces/ml/configmaps/films-")
    assert client.path(POLICY) == PATH + POLICY["metadata"]["name"]


def test_reads_what_is_there(server: ApiServer) -> None:
    server.objects[client.path(POLICY)] = POLICY

    assert server.api.read(POLICY) == POLICY
    assert server.requests == [("GET", "Bearer a-token", {}, "")]


def test_reads_nothing_where_nothing_is(server: ApiServer) -> None:
    assert server.api.read(POLICY) is None


def test_a_dry_run_changes_nothing_and_is_strict(server: ApiServer) -> None:
    assert server.api.refusal(POLICY) is None

    ((method, _, asked, told),) = server.requests
    assert (method, told) == ("PATCH", "application/apply-patch+yaml")
    assert asked == {
        "dryRun": ["All"],
        "fieldManager": ["eagleray"],
        "force": ["true"],
        "fieldValidation": ["Strict"],
    }


def test_says_what_the_server_says(server: ApiServer) -> None:
    server.refusals[client.path(POLICY)] = 'unknown field "spec.podSelektor"'
    name = POLICY["metadata"]["name"]

    assert server.api.refusal(POLICY) == f'NetworkPolicy/{name}: unknown field "spec.podSelektor"'
    with pytest.raises(Refused) as refused:
        server.api.applied(POLICY)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        pytest.param("RayJob", "the cluster does not know ray.io/v1 RayJob: install KubeRay", id="kuberay"),
        pytest.param(
            "PodMonitor",
            "the cluster does not know monitoring.coreos.com/v1 PodMonitor: install what brings it, or leave it out",
            id="other",
        ),
    ],
)
def test_a_kind_that_the_cluster_does_not_know(server: ApiServer, kind: str, told: str) -> None:
    server.unknown.add(client.path(MANIFESTS[kind]))

    assert server.api.refusal(MANIFESTS[kind]) == f"{kind}/{MANIFESTS[kind]['metadata']['name']}: {told}"


def test_a_server_that_is_not_there() -> None:
    with api_server.running() as server:
        api = server.api

    with pytest.raises(ClusterError, match="does not answer"):
        api.read(POLICY)


def test_definitions_of_the_cluster_judge_as_those_of_a_folder(server: ApiServer) -> None:
    definition = next(iter(rendered.definitions().values()))
    parsed = dict(rendered.yaml_of(definition))
    del parsed["kind"], parsed["apiVersion"]  # as in a list
    server.objects["/apis/apiextensions.k8s.io/v1/customresourcedefinitions"] = {"items": [parsed]}

    found = validate.of_crds(server.api.crds())

    assert found == {
        key: schema
        for key, schema in validate.read_crds(rendered.CRDS).items()
        if key[1] == parsed["spec"]["names"]["kind"]
    }


def test_the_difference_is_what_changes(server: ApiServer) -> None:
    there = copy.deepcopy(POLICY)
    there["spec"]["policyTypes"] = ["Egress"]
    there["metadata"] |= {"uid": "7", "managedFields": [{}]}
    server.objects[client.path(POLICY)] = {**there, "status": {}}

    text = difference.text(server.api.read(POLICY), server.api.applied(POLICY))

    changed = [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ["-  - Egress", "+  - Ingress"]


def test_nothing_changes_nothing(server: ApiServer) -> None:
    server.objects[client.path(POLICY)] = POLICY

    assert difference.text(server.api.read(POLICY), server.api.applied(POLICY)) == ""


def test_what_is_not_there_is_all_new(server: ApiServer) -> None:
    text = difference.text(server.api.read(POLICY), server.api.applied(POLICY))

    assert all(line[0] in "+@-" for line in text.splitlines())
    assert "+kind: NetworkPolicy" in text


def test_no_cluster_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(UserError, match="no Kubernetes cluster to ask: set KUBECONFIG"):
        client.connect(None)
