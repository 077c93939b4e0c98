"""The application as a whole, with real models and without Ray: who may call from where, what it cannot answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from eagleray.serving import http
from eagleray.serving.auth import Authority, NoAuth
from eagleray.serving.edge import REFUSED_AFTER_S
from eagleray.serving.follow import Desired
from eagleray.serving.http import Runtime
from eagleray.serving.limits import Allowance
from eagleray.serving.service import Service
from eagleray.serving.telemetry import Telemetry
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.task import CausalLmSpec, TextClassificationSpec
from eagleray.store import keys, paths
from eagleray.store.key_homes import FileKeys
from eagleray.store.objects import Objects, open_storage
from eagleray.store.registry import GoldenRow
from tests.support.served_models import CONTINUE, new_version

TASKS = {
    "films": TextClassificationSpec(type="text-classification"),
    "writer": CausalLmSpec(type="causal-lm"),
}
WRONG = GoldenRow(input={"text": "fine"}, output={"label": "bad", "probabilities": {"bad": 1.0, "good": 0.0}})
PREDICT = ("/v1/predict", {"inputs": "a joy"})
PREDICT_ONE = ("/predict", {"text": "a joy"})
COMPLETE = ("/v1/completions", {"model": "writer", "prompt": "once", "max_tokens": 3, "temperature": 0})
CHAT = ("/v1/chat/completions", {"model": "writer", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3})


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def objects(scratch: Path) -> Objects:
    """Two versions of each that can be loaded, and models that cannot."""
    found = open_storage(str(scratch / "storage"))
    for name, more in {"films": {}, "writer": {"task": CONTINUE, "golden": ()}}.items():
        for seed in range(2):
            new_version(found, scratch, name=name, seed=seed, **more)
    new_version(found, scratch, name="liar", golden=[WRONG])
    new_version(found, scratch, name="gone")
    new_version(found, scratch, name="silent", task=CONTINUE, golden=())
    for name in ("gone", "silent"):
        found.delete([info.key for info in found.list(paths.version_files(name, 1)) if "safetensors" in info.key])
    return found


class Endpoint(TestClient):
    """An application whose models are loaded when they are asked for."""

    def __init__(
        self,
        objects: Objects,
        cache_dir: Path,
        *,
        models: Mapping[str, str] | None = None,
        authority: Any = None,
        max_loaded: int = 8,
        **endpoint: Any,
    ) -> None:
        registered = dict(models or {"films": "films", "writer": "writer"})
        spec = EndpointSpec.model_validate_json(json.dumps({"auth": {"type": "none"}, **endpoint}))
        self.service = Service(
            objects,
            spec,
            {name: Desired(1) for name in registered},
            registered=registered,
            max_loaded=max_loaded,
            cache_dir=cache_dir,
            replica="one",
        )
        runtime = Runtime(self.service, authority or NoAuth(), Allowance(_lease, max_replicas=1), _metrics)
        tasks = {name: TASKS["writer" if name in ("writer", "silent") else "films"] for name in registered}
        super().__init__(http.build(spec, tasks, lambda: runtime), base_url="http://127.0.0.1:8000")

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.service.close()

    def ask(self, what: tuple[str, Any], **headers: str) -> Any:
        return self.post(what[0], json=what[1], headers=headers)


async def _lease(name: str, rate: float, wanted: int) -> int:
    return wanted


async def _metrics() -> str:
    return ""


@pytest.fixture(scope="module")
def endpoint(objects: Objects, scratch: Path) -> Iterator[Endpoint]:
    with Endpoint(objects, scratch / "cache", cors_origins=["https://page.example"]) as client:
        yield client


# what is refused unread


def test_a_refusal_is_counted_for_no_model() -> None:
    service: Any = SimpleNamespace(refusal_s=lambda: 3.0, telemetry=Telemetry("one"), names=["films"])
    runtime = Runtime(service, NoAuth(), Allowance(_lease, max_replicas=1), _metrics)
    app = http.build(
        EndpointSpec.model_validate({"auth": {"type": "none"}}), {"films": TASKS["films"]}, lambda: runtime
    )

    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.post(PREDICT[0], json=PREDICT[1]).status_code == 429

    lines = service.telemetry.text().splitlines()
    (count,) = [line for line in lines if line.startswith("eagleray_endpoint_requests_total{")]
    (seconds,) = [line for line in lines if line.startswith("eagleray_endpoint_request_seconds_sum{")]
    assert 'model="",' in count and 'route="refused"' in count and count.endswith(" 1.0")
    assert float(seconds.rpartition(" ")[2]) >= REFUSED_AFTER_S


# what cannot be loaded


@pytest.mark.parametrize("broken", ["gone", "liar"])
def test_a_model_that_cannot_be_loaded_takes_no_other_with_it(objects: Objects, scratch: Path, broken: str) -> None:
    models = {"films": "films", broken: broken}
    with Endpoint(objects, scratch / "cache", models=models, max_loaded=1) as client:
        for _ in range(2):
            refused = client.ask(("/v1/predict", {"inputs": "a joy", "model": broken}))
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert 0 < int(refused.headers["retry-after"]) <= 10
            assert refused.json()["detail"].startswith(f"the model {broken} cannot be loaded now")
            assert client.ask(PREDICT).status_code == 200
        assert client.service.beat().refusals == {}, "only the first try has cost the other model its place"


def test_where_the_first_model_cannot_be_loaded_predict_says_so(objects: Objects, scratch: Path) -> None:
    with Endpoint(objects, scratch / "cache", models={"gone": "gone"}) as client:
        refused = client.ask(PREDICT_ONE)
        assert (refused.status_code, refused.json()["title"]) == (503, "Unavailable")
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_language_model_that_cannot_be_loaded(objects: Objects, scratch: Path, stream: bool) -> None:
    with Endpoint(objects, scratch / "cache", models={"silent": "silent", "writer": "writer"}, max_loaded=1) as client:
        for path, body in (COMPLETE, CHAT):
            refused = client.ask((path, {**body, "model": "silent", "stream": stream}))
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            error = refused.json()["error"]
            assert (error["type"], error["code"]) == ("server_error", "unavailable")
        assert client.ask(COMPLETE).status_code == 200


# a rollout of a language model


@pytest.mark.parametrize("what", [COMPLETE, CHAT], ids=["completion", "chat"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("share", [0.0, 1.0], ids=["stable", "candidate"])
def test_texts_are_shared_as_predictions_are(endpoint: Endpoint, what: Any, stream: bool, share: float) -> None:
    path, body = what
    assert endpoint.ask(what).status_code == 200  # it is in memory, and a candidate will be beside it
    endpoint.portal.call(_follow, endpoint.service, Desired(1, 2, share=share))  # type: ignore[union-attr]
    endpoint.service.beat()
    answer = endpoint.ask((path, {**body, "stream": stream}))
    assert answer.status_code == 200, answer.text
    ((key, traffic),) = endpoint.service.beat().traffic.items()
    assert key == ("writer", 2 if share else 1)
    assert (traffic.num_requests, traffic.num_errors, len(traffic.latencies_s)) == (1, 0, 1)


async def _follow(service: Service, desired: Desired) -> None:
    service.follow({"writer": desired})
    served = service._served["writer"]
    await served._get(desired.candidate or 0)


def test_a_model_that_generates_nothing_says_where_to_ask(endpoint: Endpoint) -> None:
    refused = endpoint.ask(("/v1/completions", {"model": "films", "prompt": "a"}))
    assert refused.status_code == 400
    assert "use /v1/predict" in refused.json()["error"]["message"]


def test_texts_are_counted(endpoint: Endpoint) -> None:
    for body in (COMPLETE[1], {**COMPLETE[1], "stream": True}, {"model": "nobody", "prompt": "a"}):
        endpoint.ask((COMPLETE[0], body))
    told = endpoint.service.beat().metrics
    for status, model in (("200", "writer"), ("404", "unknown")):
        assert f'model="{model}",replica="one",route="/v1/completions",status="{status}"' in told


# who asks, where there are no keys


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="a-program"),
        pytest.param({"Host": "localhost"}, 200, id="localhost"),
        pytest.param({"Host": "LOCALHOST:9000"}, 200, id="forwarded-port"),
        pytest.param({"Host": "[::1]:8000"}, 200, id="ipv6"),
        pytest.param({"Host": "rebound.example:8000"}, 421, id="rebinding"),
        pytest.param({"Host": "127.0.0.1.rebound.example"}, 421, id="rebinding-with-a-known-start"),
        pytest.param({"Host": "127.0.0.1@rebound.example"}, 421, id="rebinding-with-a-name"),
        pytest.param({"Host": "rebound.example", "Origin": "http://rebound.example"}, 421, id="rebinding-same-origin"),
        pytest.param({"Host": ""}, 421, id="no-host"),
        pytest.param({"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}, 200, id="playground"),
        pytest.param({"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}, 200, id="allowed-page"),
        pytest.param({"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}, 403, id="other-page"),
        pytest.param({"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, 403, id="other-port"),
        pytest.param({"Origin": "null"}, 403, id="sandboxed-page"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403, id="image"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200, id="followed-link"),
        pytest.param({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200, id="address-bar"),
    ],
)
def test_without_keys_no_page_of_elsewhere_is_answered(
    endpoint: Endpoint, headers: dict[str, str], status: int
) -> None:
    answer = endpoint.get("/v1/models", headers=headers)
    assert answer.status_code == status
    predicted = endpoint.ask(PREDICT, **headers)
    assert predicted.status_code == status
    if status != 200:
        assert predicted.headers["content-type"] == "application/problem+json"
        assert predicted.json()["status"] == status


def test_with_keys_every_host_will_do(objects: Objects, scratch: Path) -> None:
    with Endpoint(objects, scratch / "cache", auth={"type": "keys"}) as client:
        answer = client.ask(PREDICT, Host="models.example", Origin="https://other.example")
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


# pages of given origins


@pytest.fixture(scope="module")
def authority(scratch: Path) -> Authority:
    """Knows a caller, one whose key has expired, and one who may only administer."""
    home, now = FileKeys(scratch / "keys.json"), datetime.now(UTC)
    made = {
        "caller": keys.create(home, "caller", now=now, scopes=("predict",)),
        "late": keys.create(home, "late", now=now - timedelta(days=2), expires_at=now - timedelta(days=1)),
        "operator": keys.create(home, "operator", now=now, scopes=("admin",)),
    }
    KEYS.update({name: key.text for name, key in made.items()}, unknown=f"{keys.PREFIX}{'0' * 43}", wrong="secret")
    found = Authority(lambda: keys.load(home))
    assert asyncio.run(found.refresh())
    return found


KEYS: dict[str, str] = {}
PAGE = "https://page.example"


@pytest.fixture(scope="module")
def guarded(objects: Objects, scratch: Path, authority: Authority) -> Iterator[Endpoint]:
    more: dict[str, Any] = {"auth": {"type": "keys"}, "cors_origins": [PAGE], "limits": {"max_body_bytes": 200_000}}
    with Endpoint(objects, scratch / "cache", authority=authority, **more) as client:
        yield client


@pytest.mark.parametrize("origin", [PAGE, "https://other.example"], ids=["allowed", "other"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/chat/completions"])
def test_a_preflight_needs_no_key(guarded: Endpoint, path: str, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
    }
    answer = guarded.options(path, headers=asked)
    if origin == PAGE:
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "x-stainless-lang" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers
    else:
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("key", "status"), [("caller", 200), ("wrong", 401)])
@pytest.mark.parametrize("origin", [PAGE, "https://other.example"], ids=["allowed", "other"])
def test_a_page_may_read_answers_and_refusals(guarded: Endpoint, key: str, status: int, origin: str) -> None:
    answer = guarded.ask(PREDICT, Origin=origin, Authorization=f"Bearer {KEYS[key]}")
    assert answer.status_code == status  # that another page may not read it is the browser's to see to
    assert answer.headers.get("access-control-allow-origin") == (PAGE if origin == PAGE else None)


def test_without_origins_there_is_no_cors(objects: Objects, scratch: Path, authority: Authority) -> None:
    with Endpoint(objects, scratch / "cache", authority=authority, auth={"type": "keys"}) as client:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        for answer in (client.options("/v1/predict", headers=asked), client.get("/healthz", headers=asked)):
            assert "access-control-allow-origin" not in answer.headers


# what is wrong with a request


@pytest.mark.parametrize("path", ["/v1/predict", "/predict", "/v1/completions", "/v1/chat/completions"])
def test_who_calls_is_asked_first_and_no_reason_given(guarded: Endpoint, path: str) -> None:
    refusals = [
        guarded.post(path, content=b"{", headers={"Authorization": f"Bearer {KEYS[key]}"} if key else {})
        for key in ("", "wrong", "unknown", "late")
    ]
    assert {answer.status_code for answer in refusals} == {401}
    assert len({answer.text for answer in refusals}) == 1
    lacking = guarded.post(path, content=b"{", headers={"Authorization": f"Bearer {KEYS['operator']}"})
    assert lacking.status_code == 403


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        pytest.param(b'{"inputs":', 400, "not JSON", id="no-json"),
        pytest.param(b'{"inputs": "\xff\xfe"}', 400, "parsing", id="no-utf8"),
        pytest.param(b'{"inputs": "\\ud800"}', 422, "", id="half-a-character"),
        pytest.param(b'{"inputs": {"text": "\\ud800"}}', 422, "", id="half-a-character-in-a-column"),
        pytest.param(b'{"inputs": "a", "model": "\\ud800"}', 422, "", id="half-a-character-as-model"),
        pytest.param(b'{"inputs": "a", "\\ud800": 1}', 422, "", id="half-a-character-as-option"),
        pytest.param(b"", 422, "", id="nothing"),
        pytest.param(b"[]", 422, "", id="a-list"),
        pytest.param(b'{"inputs": 3}', 422, "", id="wrong-type"),
        pytest.param(b'{"inputs": NaN}', 422, "", id="nan"),
        pytest.param(b'{"inputs": "a", "truncate": NaN}', 422, "", id="nan-as-a-parameter"),
        pytest.param(b'{"inputs": "a", "truncate": 1e999}', 422, "", id="infinity"),
        pytest.param(b'{"inputs": []}', 422, "", id="no-inputs"),
        pytest.param(b'{"inputs": {"txet": "a"}}', 422, "", id="wrong-column"),
        pytest.param(b'{"inputs": "a", "mdoel": "x"}', 422, "", id="wrong-option"),
        pytest.param(b'{"inputs": "a", "model": "nobody"}', 404, "there is films, writer", id="unknown-model"),
        pytest.param(b'{"inputs": [' + b",".join([b'"a"'] * 10_000) + b"]}", 422, "at most 256", id="10000-inputs"),
        pytest.param(b'{"inputs": "' + b"a joy " * 500 + b'"}', 422, "at most 64", id="too-long"),
        pytest.param(b'{"inputs": "' + b"a" * 300_000 + b'"}', 413, "larger than 200000", id="too-large"),
        pytest.param(b'{"inputs": ' + b"[" * 100_000, 400, "", id="deep"),
    ],
)
def test_what_is_wrong_is_told(guarded: Endpoint, content: bytes, status: int, words: str) -> None:
    headers = {"Authorization": f"Bearer {KEYS['caller']}", "Content-Type": "application/json"}
    answer = guarded.post("/v1/predict", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("what", [PREDICT, PREDICT_ONE], ids=["list", "one"])
def test_an_empty_text_is_answered(guarded: Endpoint, what: tuple[str, dict[str, str]]) -> None:
    path, body = what
    answer = guarded.ask((path, dict.fromkeys(body, "")), Authorization=f"Bearer {KEYS['caller']}")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b'{"model":', "not JSON", id="no-json"),
        pytest.param(b'{"model": "writer", "prompt": "\xff"}', "not JSON", id="no-utf8"),
        pytest.param(b'{"model": "writer", "prompt": "a", "temperature": NaN}', "not JSON", id="nan"),
        pytest.param(b'{"model": "writer", "prompt": "a", "top_p": 1e999}', "top_p", id="infinity"),
        pytest.param(b'{"model": "writer", "prompt": []}', "prompt", id="no-prompt"),
        pytest.param(b'{"model": "writer", "prompt": "' + b"a joy " * 9999 + b'"}', "the model holds", id="too-long"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
        pytest.param(b'{"model": "writer", "prompt": "\\ud800"}', "not JSON", id="half-a-character"),
    ],
)
def test_what_is_wrong_is_told_as_openai_does(guarded: Endpoint, content: bytes, words: str) -> None:
    answer = guarded.post("/v1/completions", content=content, headers={"Authorization": f"Bearer {KEYS['caller']}"})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]
