"""How does a model come to be served here: what is checked, what is started, and how it ends?"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray.serve._private.client
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import RayServeException

from eagleray.errors import ClusterError
from eagleray.flow.places import url
from eagleray.serving import app
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.serving import ServingSpec

LOOK_EVERY_S = 0.1
"""How often Ray Serve is asked whether it answers by now: of its own accord once a second."""


@dataclass(frozen=True, slots=True)
class Running:
    """An endpoint that answers."""

    url: str
    names: tuple[str, ...]


@contextmanager
def running(spec: ServingSpec, *, storage: str, cache_dir: Path, say: Callable[[str], None]) -> Iterator[Running]:
    """Serve on the connected Ray; on leaving the endpoint is drained and ended.

    Raises:
        UserError: what is asked for cannot be served.
        ClusterError: it did not become ready.
    """
    endpoint = spec.endpoint
    _start(endpoint)
    try:
        say("loading the models")
        _run(spec, storage, cache_dir)
        yield Running(url(endpoint), spec.names)
    finally:
        say("ending the endpoint: requests that have begun are answered")
        serve.shutdown()  # type: ignore[no-untyped-call]


def deploy(spec: ServingSpec, *, storage: str, cache_dir: Path) -> None:
    """Serve on the connected cluster, where the endpoint stays. One that is there is changed in place.

    Raises:
        ClusterError: it did not become ready.
    """
    _start(spec.endpoint)
    _run(spec, storage, cache_dir)


def wait_for_end() -> None:
    """Sleep until an interrupt. Not on a lock: an interrupt in the midst of taking one leaves it half taken."""
    while True:
        time.sleep(3600)


def _start(endpoint: EndpointSpec) -> None:
    ray.serve._private.client.CLIENT_POLLING_INTERVAL_S = LOOK_EVERY_S  # type: ignore[attr-defined]
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # what it tells of itself is in its log files
    serve.start(http_options=_http_options(endpoint))


def _run(spec: ServingSpec, storage: str, cache_dir: Path) -> None:
    application = app.application(spec, storage=storage, cache_dir=str(cache_dir))
    try:
        serve.run(application, name=app.NAME, route_prefix="/")
    except (RayServeException, RuntimeError) as error:
        raise ClusterError(f"the endpoint did not become ready: {error}") from error


def _http_options(endpoint: EndpointSpec) -> HTTPOptions:
    files = endpoint.tls
    return HTTPOptions(
        host=endpoint.host,
        port=endpoint.port,
        # Ours is told to callers as a problem; Serve's is the last resort, for a replica that hangs.
        request_timeout_s=None,
        ssl_certfile=files.cert_file if files else None,
        ssl_keyfile=files.key_file if files else None,
    )
