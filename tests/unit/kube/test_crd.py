"""The definitions are structural, cost little to check, accept every document that is shipped and refuse wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eagleray.kube import cel, crd, openapi
from eagleray.spec import yaml_text
from tests.support import rendered

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([*(ROOT / "jobs").rglob("*.yaml"), ROOT / "serve" / "endpoint.yaml"])
DEFINITIONS = {"FineTune": crd.fine_tune(), "Endpoint": crd.endpoint()}
both = pytest.mark.parametrize("kind", DEFINITIONS)
FORBIDDEN = ("$ref", "const", "definitions", "dependencies", "deprecated", "discriminator", "id", "patternProperties")


def _schema(kind: str) -> dict[str, Any]:
    (version,) = DEFINITIONS[kind]["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def _places(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from _places(inner, f"{path}.{key}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _places(schema[key], f"{path}[]")


@both
def test_is_structural(kind: str) -> None:
    """https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/"""
    for path, place in _places(_schema(kind)):
        is_free = place.get("x-kubernetes-preserve-unknown-fields") or place.get("x-kubernetes-int-or-string")
        assert "type" in place or is_free, path
        assert not isinstance(place.get("type"), list), path
        assert not set(place).intersection((*FORBIDDEN, "anyOf", "allOf", "oneOf", "not", "nullable", "title")), path
        assert not ("properties" in place and "additionalProperties" in place), path
        assert "additionalProperties" not in place or isinstance(place["additionalProperties"], dict), path
        assert isinstance(place.get("exclusiveMinimum", True), bool), path
        assert isinstance(place.get("exclusiveMaximum", True), bool), path
        assert "exclusiveMinimum" not in place or "minimum" in place, path
        assert "exclusiveMaximum" not in place or "maximum" in place, path
        assert None not in place.get("enum", ()), path
        assert place.get("type") != "array" or "items" in place, path
        assert set(place.get("required", ())) <= set(place.get("properties", ())), path


@both
def test_everything_below_a_rule_is_bounded(kind: str) -> None:
    for path, place in _places(_schema(kind)):
        if path in (".metadata", ".apiVersion", ".kind"):  # the API server's own
            continue
        if place.get("type") == "string" and "format" not in place:
            assert "maxLength" in place or "enum" in place, path
        if place.get("type") == "array":
            assert "maxItems" in place, path
        if "additionalProperties" in place:
            assert "maxProperties" in place, path


@both
def test_no_rule_stands_in_a_list(kind: str) -> None:
    """There its cost would count as often as there may be entries."""
    assert [
        path for path, place in _places(_schema(kind)) if "[]" in path and "x-kubernetes-validations" in place
    ] == []


@both
def test_every_rule_can_be_evaluated_and_has_its_message(kind: str) -> None:
    rules = [rule for _, place in _places(_schema(kind)) for rule in place.get("x-kubernetes-validations", [])]

    assert len(rules) > 10
    assert all(rule["message"] for rule in rules)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_shipped_documents_are_accepted(path: Path) -> None:
    document = yaml_text.parse(path.read_text(encoding="utf-8"), source=path.name).value

    assert openapi.violations(document, _schema(document["kind"]), rule=cel.holds) == []


FILMS = {"model": {"source": "a/b"}, "task": {"type": "text-classification"}, "data": {"train": "hub://a/b"}}
SERVED = {"models": [{"name": "films", "model": "films@champion"}]}


@pytest.mark.parametrize(
    ("kind", "spec", "violation"),
    [
        pytest.param("FineTune", {"trian": {}}, "spec.trian: unknown field, did you mean train?", id="unknown"),
        pytest.param("FineTune", {"storage": "./runs"}, "spec: storage: give a bucket", id="storage"),
        pytest.param(
            "FineTune", {"method": {"type": "full", "rank": 8}}, "not with type full", id="key-of-another-type"
        ),
        pytest.param(
            "FineTune", {"scale": {"min_workers": 2}}, "spec.scale: min_workers is more than num_workers", id="workers"
        ),
        pytest.param("FineTune", {"promote": {"when": {"metric": "a"}}}, "asks for nothing", id="empty-gate"),
        pytest.param("FineTune", {"train": {"micro_batch_size": 0}}, "at least 1, or auto", id="micro-batch"),
        pytest.param("FineTune", {"train": {"micro_batch_size": "half"}}, "at least 1, or auto", id="micro-batch-word"),
        pytest.param(
            "FineTune", {"train": {"learning_rate": 0}}, "spec.train.learning_rate: 0 must be above 0", id="bound"
        ),
        pytest.param("Endpoint", {"endpoint": {"replicas": {"min": 2}}}, "max is less than min", id="replicas"),
        pytest.param("Endpoint", {"endpoint": {"auth": {"type": "none"}}}, "`none` is for one machine", id="auth"),
        pytest.param(
            "Endpoint", {"endpoint": {"auth": {"type": "jwt"}}}, "type jwt needs algorithm, key_file", id="needed"
        ),
        pytest.param(
            "Endpoint",
            {"endpoint": {"backend": {"type": "torch", "dtype": "fp16"}}},
            "dtype: not so with type torch",
            id="value-of-another-type",
        ),
        pytest.param(
            "Endpoint", {"cluster": {"ingress": {"host": "a.example.com"}}}, "callers: name the namespace", id="callers"
        ),
        pytest.param("Endpoint", {"models": []}, "spec.models: 0 entries are too few", id="no-models"),
    ],
)
def test_wrong_documents_are_refused(kind: str, spec: dict[str, Any], violation: str) -> None:
    base = FILMS if kind == "FineTune" else SERVED
    document = {"apiVersion": "eagleray.io/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": {**base, **spec}}
    found = openapi.violations(document, _schema(kind), rule=cel.holds)

    assert any(violation in each for each in found), found


@pytest.mark.parametrize("name", ["3films", "a" * 41, "a.b"])
def test_names_that_no_child_could_have(name: str) -> None:
    document = {"apiVersion": "eagleray.io/v1alpha1", "kind": "Endpoint", "metadata": {"name": name}, "spec": SERVED}

    assert any("at most 40" in each for each in openapi.violations(document, _schema("Endpoint"), rule=cel.holds))


@both
def test_what_kubectl_shows(kind: str) -> None:
    (version,) = DEFINITIONS[kind]["spec"]["versions"]
    told = {path for path, _ in _places(version["schema"]["openAPIV3Schema"])}
    columns = version["additionalPrinterColumns"]

    assert {column["jsonPath"] for column in columns} - {".metadata.creationTimestamp"} <= told
    assert [column["name"] for column in columns][-1] == "Age"
    assert "status" in version["subresources"]


def test_scale_sets_a_value_that_is_always_there() -> None:
    (version,) = DEFINITIONS["Endpoint"]["spec"]["versions"]
    scale = version["subresources"]["scale"]
    places = dict(_places(version["schema"]["openAPIV3Schema"]))

    assert places[scale["specReplicasPath"]]["default"] == 1
    assert places[".spec.endpoint"]["default"] == places[".spec.endpoint.replicas"]["default"] == {}
    assert scale["statusReplicasPath"] in places
    assert scale["labelSelectorPath"] in places


@pytest.mark.parametrize("path", rendered.definitions(), ids=lambda path: path.name)
def test_is_what_is_committed(path: Path) -> None:
    """`python -m tests.support.rendered` writes them anew."""
    assert path.read_text(encoding="utf-8") == rendered.definitions()[path]
