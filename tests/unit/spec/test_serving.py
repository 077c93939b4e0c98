"""Documents of kind Endpoint: which are valid, and what is said of those that are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import DocumentError, UserError
from eagleray.spec import document, json_schema, yaml_text
from eagleray.spec.endpoint import EndpointSpec, ReplicasSpec
from eagleray.spec.serving import Endpoint

MODELS = "[{name: reviews, model: reviews@champion}, {name: older, model: reviews@3}]"
FULL = """\
# yaml-language-server: $schema=../jobs/schema.json
apiVersion: eagleray.io/v1alpha1
kind: Endpoint
metadata: {name: films}
spec:
  storage: s3://bucket/prefix
  models:
    - {name: reviews, model: reviews@champion}
    - {name: older, model: reviews@3}
  ensembles:
    - name: both
      members: [{name: reviews, weight: 2}, {name: older}]
      combine: vote
  max_loaded: 2
  endpoint:
    replicas: {min: 1, max: 4}
"""


def _text(**sections: str) -> str:
    """One line a section of `spec`, the first (models) in line 4."""
    merged = {"models": MODELS, **sections}
    header = ["kind: Endpoint", "metadata: {name: films}", "spec:"]
    return "\n".join([*header, *(f"  {key}: {value}" for key, value in merged.items())]) + "\n"


def _findings(text: str, *overrides: str) -> list[str]:
    with pytest.raises(DocumentError) as raised:
        document.loads_endpoint(text, source="a.yaml", overrides=overrides)
    return [str(finding) for finding in raised.value.findings]


def test_a_whole_document(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(FULL, encoding="utf-8")
    found = document.load_endpoint(path, overrides=["endpoint.port=9000"])

    assert document.kind(path) == "Endpoint"
    assert found.spec.names == ("reviews", "older", "both")
    assert found.spec.storage == "s3://bucket/prefix"
    assert [member.weight for member in found.spec.ensembles[0].members] == [2.0, 1.0]
    assert found.spec.endpoint == EndpointSpec(replicas=ReplicasSpec(min=1, max=4), port=9000)
    assert Endpoint.model_validate_json(found.model_dump_json()) == found


def test_what_is_left_out() -> None:
    spec = document.loads_endpoint(_text(), source="a.yaml").spec
    assert (spec.storage, spec.ensembles, spec.max_loaded, spec.endpoint) == (None, (), 8, EndpointSpec())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        document.load_endpoint(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        pytest.param(
            _text().replace("kind: Endpoint", "kind: FineTune"),
            ['1: kind: unknown kind: expected "Endpoint", got the string "FineTune"'],
            id="wrong-kind",
        ),
        pytest.param(
            _text().replace("kind: Endpoint\n", ""), ['1: kind: required and missing: give "Endpoint"'], id="no-kind"
        ),
        pytest.param(
            _text(endpiont="{}"),
            [
                '5: spec.endpiont: unknown key, did you mean "endpoint"? '
                "Allowed here: storage, models, ensembles, max_loaded, endpoint, cluster"
            ],
            id="unknown-section",
        ),
        pytest.param(
            _text(endpoint="{rollout: {shadwo: true}}"),
            [
                '5: spec.endpoint.rollout.shadwo: unknown key, did you mean "shadow"? Allowed here: steps, watch_s, '
                "max_error_rate, max_latency_ratio, min_requests, shadow"
            ],
            id="unknown-key",
        ),
        pytest.param(
            _text(port="80"),
            [
                "5: spec.port: unknown key, it belongs at spec.endpoint.port. "
                "Allowed here: storage, models, ensembles, max_loaded, endpoint, cluster"
            ],
            id="key-of-another-section",
        ),
        pytest.param(
            _text(models="[{name: a, model: a@champion}, {name: a, model: a@2}]"),
            ["4: spec.models: `a` stands twice: requests could not tell them apart"],
            id="name-twice",
        ),
        pytest.param(
            _text(ensembles="[{name: older, members: [{name: reviews}, {name: older}]}]"),
            ["4: spec.models: `older` stands twice: requests could not tell them apart"],
            id="name-of-an-ensemble-twice",
        ),
        pytest.param(
            _text(ensembles="[{name: both, members: [{name: reviews}, {name: odler}]}]"),
            ["5: spec.ensembles[0].members: `odler` is no model of this document, which has older, reviews"],
            id="unknown-member",
        ),
        pytest.param(
            _text(ensembles="[{name: both, members: [{name: reviews}, {name: older}]}]", max_loaded="1"),
            ["5: spec.ensembles[0].members: 2 models answer together and max_loaded is 1: raise max_loaded"],
            id="ensemble-that-does-not-fit",
        ),
        pytest.param(
            _text(models="[{name: a, model: 'a b'}]"),
            [
                "4: spec.models[0].model: expected a registered model as NAME@ALIAS, NAME@3 or NAME, got the string "
                '"a b"'
            ],
            id="no-reference",
        ),
        pytest.param(
            _text(endpoint="{auth: {type: none}, host: 0.0.0.0}"),
            [
                "5: spec.endpoint.auth.type: `none` is for this machine alone, host is 0.0.0.0: use `keys`, or host "
                "127.0.0.1"
            ],
            id="open-to-everybody",
        ),
    ],
)
def test_findings(text: str, findings: list[str]) -> None:
    assert _findings(text) == [f"a.yaml:{finding}" for finding in findings]


@pytest.mark.parametrize(
    ("sections", "finding"),
    [
        pytest.param(
            {"models": "[]"},
            "4: spec.models: expected a list of at least 1, each entry a mapping with the keys name, model, got a list",
            id="no-model",
        ),
        pytest.param(
            {"ensembles": "[{name: both, members: [{name: reviews}]}]"},
            "5: spec.ensembles[0].members: expected a list of at least 2, each entry a mapping with the keys "
            "name, weight, "
            "got a list",
            id="ensemble-of-one",
        ),
        pytest.param(
            {"max_loaded": "0"},
            "5: spec.max_loaded: expected a whole number of at least 1, got the number 0",
            id="nothing-in-memory",
        ),
    ],
)
def test_too_few(sections: dict[str, str], finding: str) -> None:
    assert _findings(_text(**sections)) == [f"a.yaml:{finding}"]


@pytest.mark.parametrize("model", ["a", "a@3", "a@champion", "a-b@c-d", "1@2"])
def test_references(model: str) -> None:
    spec = document.loads_endpoint(_text(models=f"[{{name: a, model: {model}}}]"), source="a.yaml").spec
    assert spec.models[0].model == model


@pytest.mark.parametrize("model", ["", "A", "a@", "@a", "a@b@c", "a/b", "a@B", "s3://a", "a@-b"])
def test_no_references(model: str) -> None:
    assert len(_findings(_text(models=f"[{{name: a, model: '{model}'}}]"))) == 1


def test_an_override_is_told_of_as_one() -> None:
    (found,) = _findings(_text(), "endpoint.port=99999")
    assert found.startswith("--set: spec.endpoint.port: expected a whole number")


# the schema for editors


def _is_valid(text: str) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    value: Any = yaml_text.parse(text, source="a").value
    return bool(jsonschema.Draft202012Validator(json_schema.schema()).is_valid(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(FULL, True, id="whole"),
        pytest.param(_text(), True, id="short"),
        pytest.param(_text(endpiont="{}"), False, id="unknown-section"),
        pytest.param(_text(models="[{name: a, model: a@B}]"), False, id="no-reference"),
        pytest.param(_text(endpoint="{auth: {type: token}}"), False, id="unknown-type"),
        pytest.param(_text().replace("kind: Endpoint", "kind: FineTune"), False, id="another-kind"),
        pytest.param(_text().replace("kind: Endpoint", "kind: Other"), False, id="unknown-kind"),
    ],
)
def test_schema(text: str, expected: bool) -> None:
    assert _is_valid(text) == expected


def test_schema_of_a_written_out_document() -> None:
    dumped = document.loads_endpoint(FULL, source="a.yaml").model_dump(mode="json", exclude_none=True)
    assert _is_valid(json.dumps(dumped))
