"""An endpoint on a Ray cluster that somebody else has started, with tokens on: it outlives who has deployed it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from eagleray.store.objects import Objects, open_storage
from tests.ray.heads import Head, started
from tests.ray.processes import wait_until
from tests.support.loopback import free_port
from tests.support.served_models import new_version

pytestmark = [pytest.mark.ray, pytest.mark.slow]  # each starts a cluster or deploys to it

SERVE_CONFIG = Path(__file__).parents[2] / "serve" / "serve-config.yaml"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def storage(scratch: Path) -> Objects:
    objects = open_storage(str(scratch / "storage"))
    new_version(objects, scratch, name="demo", alias="champion")
    return objects


@pytest.fixture(scope="module")
def head(scratch: Path) -> Iterator[Head]:
    with started(scratch, num_cpus=4) as cluster:
        yield cluster


def ask(port: int, path: str, *, body: Any = None, key: str = "") -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def status(head: Head) -> str:
    """What Ray Serve says of its applications."""
    said = head.start("serve", "status", RAY_DASHBOARD_ADDRESS=head.address)
    said.wait()
    return said.out + said.err


def test_serve_deploy(head: Head, storage: Objects, scratch: Path) -> None:
    """The shipped configuration, with this storage, a free port and the backend that a tiny model has."""
    config = yaml.safe_load(SERVE_CONFIG.read_text(encoding="utf-8"))
    port = config["http_options"]["port"] = free_port()
    [application] = config["applications"]
    application["args"] |= {"storage": storage.uri, "cache_dir": str(scratch / "cache")}
    application["args"]["endpoint"] = {"backend": {"type": "torch"}, "replicas": {"min": 1, "max": 2}}
    file = scratch / "serve-config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")

    deployed = head.start("serve", "deploy", str(file), RAY_DASHBOARD_ADDRESS=head.address)

    assert deployed.wait() == 0, deployed.err
    assert wait_until(lambda: ask(port, "/readyz") == (200, "ready"), timeout_s=120), status(head)
    created = head.start("eagleray", "keys", "create", "caller", "--storage", storage.uri, "--json")
    assert created.wait() == 0, created.err
    key = json.loads(created.out)["key"]
    assert wait_until(lambda: ask(port, "/v1/models", key=key)[0] == 200, timeout_s=20)
    code, answer = ask(port, "/predict", body={"text": "a joy to watch"}, key=key)
    assert code == 200, answer
    assert set(json.loads(answer)) == {"label", "probabilities"}
    assert ask(port, "/predict", body={"text": "a joy to watch"})[0] == 401
