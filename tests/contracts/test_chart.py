"""The Helm chart makes what the kustomize bases are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

import eagleray
from tests.support.rendered import ROOT
from tests.support.shipped import built

helm = pytest.importorskip("helm_python")

CHART = ROOT / "cluster" / "chart"


def charted(values: dict[str, Any], *, namespace: str) -> list[dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        made = chart.render(values, name="any", namespace=namespace)
    texts = [text for path, text in made.items() if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each is not None]


def named(manifests: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["kind"], each["metadata"]["name"]): each for each in manifests}


@pytest.mark.parametrize(
    ("folder", "values", "namespace"),
    [
        pytest.param("operator", {}, "eagleray-system", id="all-namespaces"),
        pytest.param("overlays/operator-namespace", {"namespaces": ["ml"]}, "ml", id="one-namespace"),
    ],
)
def test_it_is_the_base(folder: str, values: dict[str, Any], namespace: str) -> None:
    """Helm makes the namespace and the kinds by itself (`--create-namespace`, `crds/`)."""
    made_by_helm = ("Namespace", "CustomResourceDefinition")
    base = [each for each in built(folder) if each["kind"] not in made_by_helm]

    assert named(charted(values, namespace=namespace)) == named(base)


def test_it_brings_the_kinds() -> None:
    shipped = {path.name: path.read_bytes() for path in (ROOT / "cluster" / "crd").glob("eagleray.io_*.yaml")}

    assert {path.name: path.read_bytes() for path in (CHART / "crds").iterdir()} == shipped
    with helm.Chart.load(str(CHART)) as chart:
        assert len(chart.crds) == len(shipped)


def test_it_is_of_this_version() -> None:
    facts = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert (facts["version"], facts["appVersion"]) == (eagleray.__version__, eagleray.__version__)


def test_each_namespace_has_a_role_of_its_own() -> None:
    made = charted({"namespaces": ["ml", "shop"]}, namespace="tools")
    places = {each["metadata"]["namespace"] for each in made if each["metadata"]["name"] == "eagleray-operator"}
    (deployment,) = [each for each in made if each["kind"] == "Deployment"]

    assert not [each["kind"] for each in made if each["kind"].startswith("Cluster")]
    assert places == {"tools", "ml", "shop"}
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "operator", "--namespace", "ml", "--namespace", "shop",
    ]  # fmt: skip


def test_values_reach_the_pod() -> None:
    values = {
        "image": {"repository": "registry.example/operator", "tag": "1.2", "pullPolicy": "Always"},
        "imagePullSecrets": ["registry"],
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "priorityClassName": "system-cluster-critical",
        "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/operator"},
        "replicas": 1,
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    }
    made = named(charted(values, namespace="tools"))
    deployment = made["Deployment", "eagleray-operator"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]

    assert deployment["replicas"] == 1
    assert (container["image"], container["imagePullPolicy"]) == ("registry.example/operator:1.2", "Always")
    assert container["resources"] == values["resources"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert {key: pod[key] for key in ("nodeSelector", "tolerations", "priorityClassName")} == {
        key: values[key] for key in ("nodeSelector", "tolerations", "priorityClassName")
    }
    annotations = made["ServiceAccount", "eagleray-operator"]["metadata"]["annotations"]
    assert annotations == values["serviceAccountAnnotations"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"replica": 1}, id="unknown-key"),
        pytest.param({"namespaces": ["No_Label"]}, id="no-label"),
        pytest.param({"replicas": -1}, id="fewer-than-none"),
    ],
)
def test_a_wrong_value_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError, match="don't meet the specifications"):
        charted(values, namespace="tools")
