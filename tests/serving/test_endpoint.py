"""A real endpoint under Ray Serve: who may call, what it answers, and what a promotion does to its callers.

What fast tests of `serving` cannot show: that Ray Serve starts, feeds, replaces and ends what they tested.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from eagleray.store import registry, rollouts
from eagleray.store.objects import Objects, open_storage
from eagleray.store.registry import GoldenRow
from tests.serving.endpoints import Callers, Served, served, until
from tests.support import tiny_models
from tests.support.served_models import CONTINUE, new_version, promote

pytestmark = pytest.mark.ray

DOCUMENT = """
apiVersion: eagleray.io/v1alpha1
kind: Endpoint
metadata: {name: both}
spec:
  models:
    - {name: films, model: films@champion}
    - {name: writer, model: writer@1}
  endpoint:
    replicas: {min: 2, max: 2, cpus: 0.5}
    limits: {max_streams: 1, max_new_tokens: 500000}
    rollout: {watch_s: 3}
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(scope="module")
def storage(scratch: Path) -> Objects:
    objects = open_storage(str(scratch / "storage"))
    new_version(objects, scratch, alias="champion")
    _save_decoder_without_end(scratch / f"base-{CONTINUE['type']}")
    new_version(objects, scratch, name="writer", task=CONTINUE, golden=())
    return objects


def _save_decoder_without_end(directory: Path) -> None:
    """One that can go on for minutes."""
    tiny_models.save_decoder(directory)
    for name, changes in {
        "config.json": {"max_position_embeddings": 1_000_000},
        "generation_config.json": {"eos_token_id": None},
    }.items():
        file = directory / name
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


@pytest.fixture(scope="module")
def endpoint(storage: Objects, scratch: Path) -> Iterator[Served]:
    document = scratch / "both.yaml"
    document.write_text(DOCUMENT, encoding="utf-8")
    with served(str(document), scratch / "storage", scratch) as running:
        yield running


@pytest.fixture(scope="module")
def key(endpoint: Served) -> str:
    created = endpoint.new_key("caller", "predict")
    until(lambda: _always(endpoint, "/v1/models", created, 200), within_s=15, what="the key")
    return created


def _always(endpoint: Served, path: str, key: str, status: int) -> bool:
    """Whether every replica says so: each reads the keys by itself."""
    return all(endpoint.ask(path, key=key)[0] == status for _ in range(12))


def test_each_task_is_answered(endpoint: Served, key: str) -> None:
    status, body = endpoint.ask("/v1/predict", {"inputs": ["a joy to watch", {"text": "dull"}]}, key=key)
    assert status == 200
    assert (body["model"], body["version"], len(body["outputs"])) == ("films", 1, 2)
    assert set(body["outputs"][0]) == {"label", "probabilities"}
    assert endpoint.ask("/predict", {"text": "a joy to watch"}, key=key) == (200, body["outputs"][0])
    status, body = endpoint.ask("/v1/predict", {"inputs": "once", "model": "writer"}, key=key)
    assert (status, set(body["outputs"][0])) == (200, {"text"})


def test_the_client_of_openai(endpoint: Served, key: str) -> None:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{endpoint.port}/v1", api_key=key, max_retries=0) as client:
        whole = client.completions.create(model="writer", prompt="once", max_tokens=6, temperature=0)
        pieces = client.completions.create(model="writer", prompt="once", max_tokens=6, temperature=0, stream=True)
        assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
        assert [model.id for model in client.models.list()] == ["films", "writer"]
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="er_wrong").models.list()


def test_a_client_that_leaves_a_stream_frees_its_place(endpoint: Served, key: str) -> None:
    """Each of the two replicas has one place, and what is asked for would take it for minutes."""
    with openai.OpenAI(base_url=f"http://127.0.0.1:{endpoint.port}/v1", api_key=key, max_retries=20) as client:
        for _ in range(4):
            pieces = client.completions.create(model="writer", prompt="once", max_tokens=400_000, stream=True)
            next(iter(pieces))
            pieces.close()
    body = {"model": "writer", "prompt": "once", "max_tokens": 1}
    until(lambda: endpoint.ask("/v1/completions", body, key=key)[0] == 200, within_s=15, what="a place")


def test_metrics_are_those_of_all_replicas(endpoint: Served, key: str) -> None:
    admin = endpoint.new_key("operator", "admin")
    assert endpoint.ask("/metrics", key=key)[0] == 403
    until(lambda: _always(endpoint, "/metrics", admin, 200), within_s=15, what="the admin's key")
    until(
        lambda: "eagleray_endpoint_replicas 2.0" in endpoint.ask("/metrics", key=admin)[1],
        within_s=10,
        what="both replicas",
    )
    assert 'eagleray_endpoint_model_version{model="films"' in endpoint.ask("/metrics", key=admin)[1]


def test_it_tells_the_storage_that_it_lives(endpoint: Served, storage: Objects) -> None:
    def told() -> tuple[int, dict[int, int]] | None:
        heard = rollouts.heard(storage, "films", "champion")
        return (heard.num_replicas, heard.loaded) if heard else None

    until(lambda: told() == (2, {1: 2}), within_s=20, what="both replicas")


def test_a_key_that_is_revoked_is_refused_within_ten_seconds(endpoint: Served) -> None:
    short = endpoint.new_key("short", "predict")
    until(lambda: _always(endpoint, "/v1/models", short, 200), within_s=15, what="the key")
    endpoint.run("keys", "revoke", "short")
    until(lambda: _always(endpoint, "/v1/models", short, 401), within_s=10, what="the refusal")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"inputs":', 400, id="no-json"),
        pytest.param({"inputs": 3}, 422, id="wrong-type"),
        pytest.param({"inputs": []}, 422, id="no-inputs"),
        pytest.param({"inputs": ["a"] * 10_000}, 422, id="ten-thousand-inputs"),
        pytest.param({"inputs": "a joy " * 500}, 422, id="too-long"),
        pytest.param({"inputs": "a", "model": "nobody"}, 404, id="unknown-model"),
        pytest.param(b"\xff\xfe", 400, id="no-utf8"),
        pytest.param({"inputs": "a" * 2_000_000}, 413, id="too-large"),
    ],
)
def test_what_is_wrong_is_refused_and_told(endpoint: Served, key: str, body: object, expected: int) -> None:
    status, problem = endpoint.ask("/v1/predict", body, key=key)
    assert status == expected
    assert problem["status"] == expected and problem["detail"]
    assert endpoint.ask("/predict", {"text": ""}, key=key)[0] == 200


def test_a_promotion_turns_callers_over_and_a_broken_one_is_taken_back(
    endpoint: Served, key: str, storage: Objects, scratch: Path
) -> None:
    def record() -> rollouts.RolloutRecord:
        found = rollouts.newest(storage, "films", "champion")
        assert found is not None
        return found

    new_version(storage, scratch, seed=1)
    wrong = GoldenRow(input={"text": "a"}, output={"label": "bad", "probabilities": {"bad": 0.99, "good": 0.01}})
    new_version(storage, scratch, seed=2, golden=[wrong])
    with Callers(endpoint, key) as callers:
        endpoint.run("models", "promote", "films@2")
        until(lambda: (record().stable, record().phase) == (2, "stable"), within_s=60, what="version 2")
        assert callers.seen[200, 2] > 0
        promote(storage, "films", 3)
        until(lambda: registry.current(storage, "films", "champion").version == 2, within_s=60, what="the way back")
        assert "golden" in registry.current(storage, "films", "champion").reason
        endpoint.run("models", "rollback", "films")
        until(lambda: (record().stable, record().phase) == (1, "stable"), within_s=60, what="version 1")
    assert callers.failed == 0, callers.seen
    assert callers.seen[200, 3] == 0
    assert endpoint.ask("/v1/predict", {"inputs": "a"}, key=key)[1]["version"] == 1


def test_a_replica_that_is_killed_is_replaced(endpoint: Served, key: str) -> None:
    until(lambda: len(endpoint.replicas()) == 2, within_s=10, what="both replicas")
    victim = endpoint.replicas()[0]
    with Callers(endpoint, key) as callers:
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(set(endpoint.replicas()) - {victim}) == 2, within_s=90, what="another replica")
    assert callers.failed <= 4, callers.seen  # those in flight on it: one a caller
    assert {status for status, _ in callers.seen} <= {200, 503}  # they are told to try again
    assert callers.seen[200, 1] > 0


def test_an_interrupt_ends_it_and_leaves_no_process(endpoint: Served) -> None:
    """The last test: the endpoint is gone after it."""
    started = endpoint.descendants()
    assert started
    endpoint.process.send_signal(signal.SIGINT)
    assert endpoint.process.wait(60) == 0  # it is how a server ends
    until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], within_s=20, what="their end")
    assert "Traceback" not in endpoint.log.read_text()
