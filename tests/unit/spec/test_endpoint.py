"""What an endpoint may be, and what is said where its parts do not fit together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from eagleray.errors import DocumentError
from eagleray.spec import document
from eagleray.spec.endpoint import EndpointSpec, JwtAuthSpec, RolloutSpec
from tests.support import documents


def _endpoint(text: str) -> EndpointSpec:
    found = document.loads(documents.text(endpoint=text), source="a.yaml").document.spec.endpoint
    assert found is not None
    return found


def _findings(text: str) -> list[str]:
    with pytest.raises(DocumentError) as raised:
        document.loads(documents.text(endpoint=text), source="a.yaml")
    return [str(finding) for finding in raised.value.findings]


def test_what_is_left_out_is_safe() -> None:
    """On this machine, with keys, and with no body in the log."""
    found = _endpoint("{}")

    assert found == EndpointSpec()
    assert (found.host, found.port, found.auth.type, found.log_bodies) == ("127.0.0.1", 8000, "keys", False)
    assert (found.cors_origins, found.tls, found.backend.type) == ((), None, "torch")
    assert (found.replicas.min, found.replicas.max) == (1, 1)
    assert document.loads(documents.text(), source="a.yaml").document.spec.endpoint is None


def test_survives_a_round_trip() -> None:
    found = _endpoint(
        "{auth: {type: jwt, algorithm: RS256, key_file: a.pem}, rollout: {steps: [0.1, 1], shadow: true}, "
        "backend: {type: onnx, precision: int8}, tls: {cert_file: a, key_file: b}, replicas: {min: 0, max: 4}}"
    )

    assert EndpointSpec.model_validate_json(found.model_dump_json()) == found
    assert isinstance(found.auth, JwtAuthSpec)


@pytest.mark.parametrize(
    ("endpoint", "finding"),
    [
        pytest.param(
            "{auth: {type: none}, host: 0.0.0.0}",
            "auth.type: `none` is for this machine alone, host is 0.0.0.0: use `keys`, or host 127.0.0.1",
            id="open-to-everybody",
        ),
        pytest.param(
            "{backend: {type: vllm}}",
            "replicas.gpus: 0 is less than backend.tensor_parallel_size 1: vllm runs on GPUs, so many of them: "
            "set it to 1",
            id="vllm-without-gpus",
        ),
        pytest.param(
            "{backend: {type: vllm, tensor_parallel_size: 4}, replicas: {gpus: 1}}",
            "replicas.gpus: 1 is less than backend.tensor_parallel_size 4: vllm runs on GPUs, so many of them: "
            "set it to 4",
            id="vllm-with-too-few-gpus",
        ),
        pytest.param(
            "{replicas: {min: 3, max: 2}}",
            "replicas.max: 2 is less than min 3: raise max or lower min",
            id="more-at-least-than-at-most",
        ),
        pytest.param(
            "{rollout: {steps: [0.5, 0.1, 1]}}",
            "rollout.steps: must rise and end with 1, such as [0.1, 0.5, 1]; given: 0.5, 0.1, 1",
            id="steps-fall",
        ),
        pytest.param(
            "{rollout: {steps: [0.5, 0.5, 1]}}",
            "rollout.steps: must rise and end with 1, such as [0.1, 0.5, 1]; given: 0.5, 0.5, 1",
            id="step-twice",
        ),
        pytest.param(
            "{rollout: {steps: [0.1, 0.5]}}",
            "rollout.steps: must rise and end with 1, such as [0.1, 0.5, 1]; given: 0.1, 0.5",
            id="never-all",
        ),
        pytest.param(
            "{rollout: {steps: [0, 1]}}",
            "rollout.steps[0]: expected a number above 0 and of at most 1, got the number 0",
            id="step-of-nothing",
        ),
        pytest.param(
            "{prot: 80}",
            'prot: unknown key, did you mean "port"? Allowed here: host, port, replicas, backend, batch, limits, auth, '
            "tls, cors_origins, rollout, log_bodies, drain_s",
            id="unknown-key",
        ),
        pytest.param(
            "{auth: {type: token}}",
            'auth.type: unknown type, expected one of "keys", "jwt", "none", got the string "token"',
            id="unknown-type",
        ),
        pytest.param(
            "{auth: {type: jwt, algorithm: none, key_file: a}}",
            'auth.algorithm: expected one of "HS256", "RS256", got the string "none"; did you mean "HS256"?',
            id="jwt-without-a-signature",
        ),
        pytest.param(
            "{batch: {max_padding: 1.5}}",
            "batch.max_padding: expected a number of at least 0 and of at most 1, got the number 1.5",
            id="share",
        ),
    ],
)
def test_findings(endpoint: str, finding: str) -> None:
    found = _findings(endpoint)
    assert [each.split("; did you")[0] for each in found] == [
        f"a.yaml:8: spec.endpoint.{finding}".split("; did you")[0]
    ]


def test_all_that_does_not_fit_is_told_together() -> None:
    assert len(_findings("{auth: {type: none}, host: 0.0.0.0, backend: {type: vllm}}")) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_no_keys_on_this_machine(host: str) -> None:
    assert EndpointSpec.model_validate_json(json.dumps({"host": host, "auth": {"type": "none"}})).host == host


@pytest.mark.parametrize("fields", [{"steps": []}, {"watch_s": -1}, {"max_latency_ratio": 1.0}, {"min_requests": 0}])
def test_no_rollout(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RolloutSpec.model_validate_json(json.dumps(fields))
