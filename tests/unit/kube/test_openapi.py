"""An object is held against the schema of its definition as the API server does it, strictly."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.kube import cel, openapi

SCHEMA = {
    "type": "object",
    "required": ["spec"],
    "x-kubernetes-validations": [{"rule": "size(self.metadata.name) <= 3", "message": "name is too long"}],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["mode"],
            "x-kubernetes-validations": [
                {"rule": "!(has(self.a) && has(self.b))", "message": "a and b exclude each other"},
                {"rule": "self.mode == oldSelf.mode", "message": "mode is immutable"},
            ],
            "properties": {
                "mode": {"type": "string", "enum": ["x", "y"]},
                "a": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9},
                "b": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                "flag": {"type": "boolean"},
                "word": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "maybe": {"type": "string", "nullable": True},
                "entries": {
                    "type": "array",
                    "maxItems": 2,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                },
                "either": {
                    "type": "object",
                    "properties": {"p": {"type": "string"}, "q": {"type": "string"}},
                    "oneOf": [{"required": ["p"]}, {"required": ["q"]}],
                },
            },
        },
    },
}


def _violations(name: str = "abc", **spec: Any) -> list[str]:
    manifest = {"apiVersion": "a/v1", "kind": "A", "metadata": {"name": name}, "spec": {"mode": "x", **spec}}
    return openapi.violations(manifest, SCHEMA, rule=cel.holds)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"a": 3}, id="integer"),
        pytest.param({"b": 1}, id="whole-number"),
        pytest.param({"port": 80}, id="int"),
        pytest.param({"port": "http"}, id="or-string"),
        pytest.param({"labels": {"x": "y"}}, id="map"),
        pytest.param({"free": {"anything": [1]}}, id="free"),
        pytest.param({"maybe": None}, id="nullable"),
        pytest.param({"entries": [{"name": "a"}, {"name": "b"}]}, id="entries"),
        pytest.param({"either": {"p": "a"}}, id="one-of"),
    ],
)
def test_valid(spec: dict[str, Any]) -> None:
    assert _violations(**spec) == []


@pytest.mark.parametrize(
    ("spec", "violation"),
    [
        pytest.param({"flga": True}, "spec.flga: unknown field, did you mean flag?", id="unknown"),
        pytest.param(
            {"entries": [{"nmae": "a"}]}, "spec.entries[0].nmae: unknown field, did you mean name?", id="deep"
        ),
        pytest.param({"mode": "z"}, "spec.mode: 'z' is none of x, y", id="enum"),
        pytest.param({"a": "3"}, "spec.a: must be of type integer, is string", id="type"),
        pytest.param({"a": True}, "spec.a: must be of type integer, is boolean", id="boolean-for-integer"),
        pytest.param({"a": None}, "spec.a: must be of type integer, is null", id="null"),
        pytest.param({"a": 1.5}, "spec.a: must be of type integer, is number", id="float-for-integer"),
        pytest.param({"a": 10}, "spec.a: 10 must be at most 9", id="maximum"),
        pytest.param({"b": 0}, "spec.b: 0 must be above 0", id="exclusive"),
        pytest.param({"word": "A"}, "spec.word: 'A' does not match ^[a-z]+$", id="pattern"),
        pytest.param({"word": "abcd"}, "spec.word: 4 characters are too few or too many", id="length"),
        pytest.param({"port": True}, "spec.port: must be a whole number or a string", id="int-or-string"),
        pytest.param({"labels": {"x": 1}}, "spec.labels.x: must be of type string, is integer", id="map-value"),
        pytest.param({"labels": dict.fromkeys("xyz", "a")}, "spec.labels: has more than 2 keys", id="map-size"),
        pytest.param({"entries": [{"name": "a"}] * 2}, "spec.entries: two entries have the same name", id="list-map"),
        pytest.param({"either": {}}, "spec.either: fits 0 of the 2 forms that it may have", id="none-of"),
        pytest.param(
            {"either": {"p": "a", "q": "b"}}, "spec.either: fits 2 of the 2 forms that it may have", id="both-of"
        ),
        pytest.param({"a": 1, "b": 1.5}, "spec: a and b exclude each other", id="rule"),
    ],
)
def test_invalid(spec: dict[str, Any], violation: str) -> None:
    assert violation in _violations(**spec)


def test_what_is_required() -> None:
    manifest = {"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a"}}

    assert openapi.violations(manifest, SCHEMA, rule=cel.holds) == ["spec: is required"]


def test_a_rule_of_the_whole_object_sees_its_name() -> None:
    assert _violations(name="abcd") == ["the object: name is too long"]
