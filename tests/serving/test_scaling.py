"""A real endpoint that grows with its load and shrinks again, over TLS: no request is lost on the way."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context

import pytest

from eagleray.store.objects import Objects, open_storage
from tests.serving.endpoints import Callers, Served, served, until
from tests.support.served_models import new_version

pytestmark = pytest.mark.ray

DOCUMENT = """
apiVersion: eagleray.io/v1alpha1
kind: Endpoint
metadata: {{name: films}}
spec:
  models:
    - {{name: films, model: films@champion}}
  endpoint:
    replicas:
      {{min: {least}, max: 3, cpus: 0.3, target_ongoing_requests: 2, upscale_delay_s: 0.5, downscale_delay_s: 2}}
    tls: {{cert_file: {scratch}/cert.pem, key_file: {scratch}/key.pem}}
    cors_origins: [https://page.example]
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scaling")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files],
        check=True,
        capture_output=True,
    )
    return directory


@pytest.fixture(scope="module")
def storage(scratch: Path) -> Objects:
    objects = open_storage(str(scratch / "storage"))
    new_version(objects, scratch, alias="champion")
    return objects


@pytest.fixture(scope="module")
def endpoint(storage: Objects, scratch: Path) -> Iterator[Served]:
    with serving(scratch, least=1) as running:
        yield running


@pytest.fixture(scope="module")
def key(endpoint: Served) -> str:
    created = endpoint.new_key("caller", "predict")
    until(lambda: endpoint.ask("/v1/models", key=created)[0] == 200, within_s=15, what="the key")
    return created


def serving(scratch: Path, *, least: int) -> AbstractContextManager[Served]:
    """The endpoint with so many replicas at least."""
    document = scratch / f"films-{least}.yaml"
    document.write_text(DOCUMENT.format(least=least, scratch=scratch), encoding="utf-8")
    return served(str(document), scratch / "storage", scratch, certificate=scratch / "cert.pem")


def test_one_becomes_three_and_one_again_without_a_failed_request(endpoint: Served, key: str) -> None:
    assert len(endpoint.replicas()) == 1
    with Callers(endpoint, key, num=12) as many:
        until(lambda: len(endpoint.replicas()) == 3, within_s=120, what="three replicas")
    with Callers(endpoint, key, num=1) as few:
        until(lambda: len(endpoint.replicas()) == 1, within_s=120, what="one replica")
    assert many.seen[200, 1] > 0
    assert few.seen[200, 1] > 0
    assert (many.failed, few.failed) == (0, 0), (many.seen, few.seen)


@pytest.mark.parametrize("origin", ["https://page.example", "https://other.example"])
def test_pages_of_given_origins_may_call(endpoint: Served, key: str, scratch: Path, origin: str) -> None:
    trust = create_default_context(cafile=str(scratch / "cert.pem"))
    connection = HTTPSConnection("127.0.0.1", endpoint.port, context=trust, timeout=30)
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    connection.request("OPTIONS", "/v1/predict", headers=asked)
    allowed = connection.getresponse().headers["access-control-allow-origin"]
    connection.close()

    assert allowed == (origin if origin == "https://page.example" else None)


@pytest.mark.slow  # it starts another endpoint
def test_an_idle_endpoint_may_have_no_replica(storage: Objects, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with serving(scratch, least=0) as running:
        key = running.new_key("late", "predict")
        until(lambda: not running.replicas(), within_s=120, what="no replica")

        status, body = running.ask("/v1/predict", {"inputs": "a joy"}, key=key, timeout_s=120)

        assert (status, body["version"]) == (200, 1)
        assert len(running.replicas()) == 1
