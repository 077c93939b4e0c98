"""What does an endpoint say to everything that its own OpenAPI allows, and to what it does not? Never 500."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from eagleray.serving import follow, http
from eagleray.serving.auth import NoAuth
from eagleray.serving.http import Runtime
from eagleray.serving.limits import Allowance
from eagleray.serving.service import Service
from eagleray.spec.serving import ServedModelSpec, ServingSpec
from eagleray.spec.task import CausalLmSpec, TextClassificationSpec
from eagleray.store.objects import open_storage
from tests.support.served_models import CONTINUE, new_version

SPEC = ServingSpec(
    models=(ServedModelSpec(name="films", model="films@1"), ServedModelSpec(name="writer", model="writer@1"))
)
TASKS = {"films": TextClassificationSpec(type="text-classification"), "writer": CausalLmSpec(type="causal-lm")}
NUM_EXAMPLES = 60


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("fuzz")
    objects = open_storage(str(scratch / "storage"))
    new_version(objects, scratch)
    new_version(objects, scratch, name="writer", task=CONTINUE, golden=())
    made: list[Runtime] = []
    app = http.build(SPEC.endpoint, TASKS, lambda: made[0])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none"))

    async def serve() -> None:
        service = Service(
            objects,
            SPEC.endpoint,
            follow.at_start(objects, SPEC.models),
            registered=follow.registered_names(SPEC.models),
            max_loaded=8,
            cache_dir=Path(scratch) / "cache",
            replica="one",
        )
        await service.start()
        made.append(Runtime(service, NoAuth(), Allowance(_lease, max_replicas=1), _metrics))
        await server.serve()
        service.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


async def _lease(name: str, rate: float, wanted: int) -> int:
    return wanted


async def _metrics() -> str:
    return ""


@pytest.fixture(scope="module")
def schema(url: str) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not-allowed"])
@pytest.mark.parametrize(
    ("path", "method"),
    [
        pytest.param("/v1/predict", "POST", id="predict"),
        pytest.param("/predict", "POST", id="predict-one"),
        pytest.param("/v1/completions", "POST", id="completions"),
        pytest.param("/v1/chat/completions", "POST", id="chat"),
        pytest.param("/v1/models", "GET", id="models"),
    ],
)
def test_no_request_is_a_server_error(
    schema: schemathesis.BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    @settings(max_examples=NUM_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=[not_a_server_error])

    ask()
