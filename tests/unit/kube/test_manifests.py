"""What a document becomes in a cluster: golden files, and what holds of every object of every form."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from eagleray.kube import restricted, yaml_text
from eagleray.kube.manifests import Rendered, file_name, key
from tests.support import rendered
from tests.support.rendered import CASES, GOLDEN, Case

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def _pods(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in case.render().manifests:
        for path, pod in restricted.pods(manifest):
            yield f"{'/'.join(key(manifest))}: {path}", pod


@every_case
def test_is_the_golden_file(case: Case) -> None:
    """`python -m tests.support.rendered` writes them anew."""
    assert yaml_text.dump_all(case.render().manifests) == (GOLDEN / f"{case.name}.yaml").read_text(encoding="utf-8")


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {case.name for case in CASES}


@every_case
def test_is_the_same_whichever_order_a_document_has(case: Case) -> None:
    shuffled = _reversed_keys(case.text)

    assert shuffled != case.text
    assert yaml_text.dump_all(case_of(shuffled, case).render().manifests) == yaml_text.dump_all(case.render().manifests)


@every_case
def test_every_pod_keeps_to_the_restricted_standard(case: Case) -> None:
    pods = list(_pods(case))

    assert len(pods) >= 2
    assert [f"{place}: {each}" for place, pod in pods for each in restricted.violations(pod)] == []


@every_case
def test_what_a_pod_writes_is_mounted(case: Case) -> None:
    for place, pod in _pods(case):
        for container in pod["containers"]:
            mounted = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            names = {volume["name"] for volume in pod["volumes"]}
            variables = {each["name"]: each["value"] for each in container["env"]}

            assert mounted >= {"/tmp", "/cache", "/home/eagleray"}, place
            assert {mount["name"] for mount in container["volumeMounts"]} <= names, place
            assert {variables["HOME"], variables["TMPDIR"], variables["EAGLERAY_CACHE"]} <= mounted, place


@every_case
def test_a_worker_has_time_to_drain_and_to_save(case: Case) -> None:
    workers = [pod for _, pod in _pods(case) if pod["containers"][0]["name"] == "ray-worker"]

    assert workers
    for pod in workers:
        (command,) = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2:]
        promised, waited = map(int, re.findall(r"seconds (\d+) && sleep (\d+)", command)[0])
        assert "ray drain-node" in command
        assert promised == waited < pod["terminationGracePeriodSeconds"]


@every_case
def test_a_worker_waits_for_requests_only_where_an_application_takes_them(case: Case) -> None:
    for place, pod in _pods(case):
        container = pod["containers"][0]
        if container["name"] == "ray-worker":
            waits = container["readinessProbe"]["httpGet"]["path"] == "/-/healthz"
            assert waits is place.startswith("RayService"), place


@every_case
def test_only_the_head_may_speak_with_the_api_server(case: Case) -> None:
    for place, pod in _pods(case):
        if pod["containers"][0]["name"] != "ray-head":
            assert pod["automountServiceAccountToken"] is False, place


@every_case
def test_nothing_but_workers_may_be_on_nodes_that_are_taken_away(case: Case) -> None:
    for place, pod in _pods(case):
        if pod["containers"][0]["name"] == "ray-worker":
            continue
        (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert {each["operator"] for each in term["matchExpressions"]} == {"NotIn"}, place
        assert "tolerations" not in pod, place


@every_case
def test_no_secret_is_written(case: Case) -> None:
    for manifest in case.render().manifests:
        assert manifest["kind"] != "Secret"
        for place, value in _leaves(manifest):
            if re.search(r"(?i)(password|token|secret|credential)[^.]*$", place):
                assert not isinstance(value, str) or _is_reference(place), place


@every_case
def test_every_object_has_its_labels_and_a_file_of_its_own(case: Case) -> None:
    manifests = case.render().manifests

    assert len({file_name(manifest) for manifest in manifests}) == len(manifests)
    for manifest in manifests:
        assert manifest["metadata"]["namespace"] == "ml"
        assert manifest["metadata"]["labels"]["eagleray.io/name"] == "films"


def test_a_role_allows_one_configmap_and_nothing_else() -> None:
    roles = [each for case in CASES for each in case.render().manifests if each["kind"] in ("Role", "ClusterRole")]

    assert {str(role["rules"]) for role in roles} == {
        "[{'apiGroups': [''], 'resources': ['configmaps'], 'resourceNames': ['films-progress'], "
        "'verbs': ['get', 'patch']}]"
    }


def test_both_parts_of_a_document_make_their_claim_once() -> None:
    both = rendered.training(endpoint="{}", cluster="{claim: {name: shared, size: 1Ti}}")
    kinds = [manifest["kind"] for manifest in rendered.of_text(both).manifests]

    assert (kinds.count("PersistentVolumeClaim"), kinds.count("NetworkPolicy")) == (1, 2)


def case_of(text: str, case: Case) -> Case:
    return Case(case.name, text, case.is_shared)


def _reversed_keys(text: str) -> str:
    """The sections of a document, the last first."""
    lines = text.splitlines()
    start = lines.index("spec:") + 1
    sections: list[list[str]] = []
    for line in lines[start:]:
        if line.startswith("    "):
            sections[-1].append(line)
        else:
            sections.append([line])
    return "\n".join([*lines[:start], *(line for section in reversed(sections) for line in section)]) + "\n"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value


def _is_reference(place: str) -> bool:
    return place.endswith(("secretName", "secretKeyRef.name", "secretKeyRef.key", "imagePullSecrets.name"))


PLAIN = CASES[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"hostNetwork": True}, "hostNetwork is on", id="host-network"),
        pytest.param({"volumes": [{"name": "a", "hostPath": {}}]}, "volume a is a hostPath", id="host-path"),
        pytest.param(
            {"containers": [{"name": "a", "securityContext": {"privileged": True}}]},
            "a: is privileged",
            id="privileged",
        ),
        pytest.param({"containers": [{"name": "a"}]}, "a: does not drop ALL capabilities", id="capabilities"),
        pytest.param({"containers": [{"name": "a"}]}, "a: allowPrivilegeEscalation is not false", id="escalation"),
        pytest.param({"containers": [{"name": "a"}]}, "a: readOnlyRootFilesystem is not true", id="root"),
        pytest.param({"containers": [{"name": "a"}]}, "a: has no limits of cpu, memory", id="limits"),
        pytest.param({"securityContext": {"runAsUser": 0}}, "ray-head: runs as root", id="user"),
        pytest.param(
            {"securityContext": {}, "initContainers": [{"name": "b"}]},
            "b: runAsNonRoot is not true",
            id="init-container",
        ),
        pytest.param(
            {"containers": [{"name": "a", "ports": [{"hostPort": 80}]}]}, "a: takes a port of the host", id="host-port"
        ),
        pytest.param(
            {"containers": [{"name": "a", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
            "a: adds capabilities",
            id="added-capability",
        ),
    ],
)
def test_what_breaks_the_standard_is_found(change: dict[str, Any], message: str) -> None:
    pod = copy.deepcopy(next(pod for _, pod in _pods(PLAIN) if pod["containers"][0]["name"] == "ray-head")) | change

    assert message in restricted.violations(pod)


def test_prometheus_finds_a_run_and_an_endpoint() -> None:
    """By the port of the PodMonitor, or without Prometheus's operator by annotations (prometheus-kubernetes.yaml)."""
    text = rendered.training(cluster="{monitoring: {}}", monitoring="{port: 9500}", endpoint="{}", promote="{}")
    found = rendered.of_text(text)
    head = rendered.of_kind(found, "RayJob")["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    ports = {port["name"]: port["containerPort"] for port in head["spec"]["containers"][0]["ports"]}
    asked = [each["port"] for each in _of_part(found, "PodMonitor", "train")["spec"]["podMetricsEndpoints"]]
    (document,) = [each for each in found.manifests if each["metadata"]["name"] == "films-document"]
    service = rendered.of_kind(found, "RayService")["spec"]["serveService"]

    assert [ports[name] for name in asked] == [8080, 9500]
    assert head["metadata"]["annotations"] == {"eagleray.io/metrics-port": "9500"}
    assert yaml.safe_load(document["data"]["document.yaml"])["spec"]["monitoring"]["host"] == "0.0.0.0"
    assert service["metadata"]["annotations"] == {"eagleray.io/endpoint": "films"}
    scraped = (rendered.ROOT / "cluster" / "monitoring" / "prometheus-kubernetes.yaml").read_text()
    for annotation in (*head["metadata"]["annotations"], *service["metadata"]["annotations"]):
        assert f"_annotation_{re.sub('[^a-z]', '_', annotation)}" in scraped


def _of_part(found: Rendered, kind: str, part: str) -> dict[str, Any]:
    (one,) = [
        each
        for each in found.manifests
        if each["kind"] == kind and each["metadata"]["labels"]["eagleray.io/part"] == part
    ]
    return one
