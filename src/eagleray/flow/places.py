"""Where does the endpoint of a document run, and is it there already?"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from eagleray.errors import ClusterError, UserError
from eagleray.serving.identity import HEADER as IDENTITY_HEADER
from eagleray.serving.identity import identity
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.serving import ServingSpec

_READY_S = 300.0
_LOOK_EVERY_S = 0.5
_SHOWN_LINES = 5

Say = Callable[[str], None]


class Place(Protocol):
    """Where an endpoint runs."""

    is_here: bool
    """Whether it ends with this process."""

    @property
    def spec(self) -> ServingSpec:
        """What it serves."""

    def check(self) -> None:
        """Raise UserError for what could not be served there."""

    def find(self) -> str | None:
        """Where it answers, if this endpoint runs there already."""

    def start(self, stack: ExitStack) -> str:
        """Start it, return once it answers and say where; what is to end with this process is left to the stack."""


class Here:
    """In this process' Ray, as long as this process lives."""

    is_here = True

    def __init__(self, spec: ServingSpec, *, storage: str, cache_dir: Path, say: Say) -> None:
        self.spec = spec
        self._storage, self._cache_dir, self._say = storage, cache_dir, say

    def check(self) -> None:
        """Raise UserError where the port is taken."""
        check_port(self.spec.endpoint)

    def find(self) -> str | None:
        """Nothing: it ends with the process that has started it."""
        return None

    def start(self, stack: ExitStack) -> str:
        """Serve until the stack is closed."""
        from eagleray.flow import servable
        from eagleray.train import cluster

        servable.check(self.spec, self._storage)
        stack.enter_context(cluster.embedded(importing=servable.AHEAD, trains=False))
        from eagleray.flow import serve

        running = serve.running(self.spec, storage=self._storage, cache_dir=self._cache_dir, say=self._say)
        return stack.enter_context(running).url


class OnCluster:
    """On the Ray cluster at RAY_ADDRESS, where it outlives the process that has started it."""

    is_here = False

    def __init__(self, spec: ServingSpec, *, storage: str, cache_dir: Path) -> None:
        self.spec = spec
        self._storage, self._cache_dir = storage, cache_dir

    def check(self) -> None:
        """Whether the port is free is known on the cluster's head alone."""

    def find(self) -> str | None:
        """Where this endpoint answers."""
        return found(self.spec, storage=self._storage)

    def start(self, stack: ExitStack) -> str:
        """Deploy it, or change it where another is there."""
        from eagleray.flow import servable, serve
        from eagleray.train import cluster

        stack.enter_context(cluster.connected())
        servable.check(self.spec, self._storage)
        serve.deploy(self.spec, storage=self._storage, cache_dir=self._cache_dir)
        return f"{url(self.spec.endpoint)}; it stays when this ends: `serve shutdown` ends it"


class Detached:
    """On this machine, in a process of its own that stays."""

    is_here = False

    def __init__(self, spec: ServingSpec, *, storage: str, command: Sequence[str], log: Path) -> None:
        """`command` serves it in the foreground; what it says goes to `log`."""
        self.spec = spec
        self._storage, self._command, self._log = storage, command, log

    def check(self) -> None:
        """Raise UserError where the port is taken by anything else."""
        if self.find() is None:
            check_port(self.spec.endpoint)

    def find(self) -> str | None:
        """Where this endpoint answers."""
        return found(self.spec, storage=self._storage)

    def start(self, stack: ExitStack) -> str:
        """Start it; what this process has of Ray is not used."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # a Ctrl-C here is not meant for it
            )
        deadline = time.monotonic() + _READY_S
        while self.find() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                last = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
                told = "\n  ".join(last)
                raise ClusterError(f"the endpoint did not start; the end of {self._log}:\n  {told}")
            time.sleep(_LOOK_EVERY_S)
        return (
            f"{url(self.spec.endpoint)}; it stays when this ends. To look at it: `tail -f {self._log}`; "
            f"to end it: `kill {process.pid}`"
        )


def url(endpoint: EndpointSpec) -> str:
    """Where an endpoint answers, seen from its own machine."""
    host = "127.0.0.1" if endpoint.host in ("0.0.0.0", "::") else endpoint.host
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if endpoint.tls else 'http'}://{host}:{endpoint.port}"


def check_port(endpoint: EndpointSpec) -> None:
    """Raise UserError where something listens already."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does: a port just left is free
        try:
            probe.bind((endpoint.host, endpoint.port))
        except OSError as error:
            raise UserError(
                f"endpoint.port: {endpoint.host}:{endpoint.port} cannot be listened on ({error.strerror}): give "
                "another by --set endpoint.port=N, or end what has it"
            ) from error


def found(spec: ServingSpec, *, storage: str) -> str | None:
    """Where an endpoint with just these settings answers; None where there is none."""
    try:
        with urlopen(f"{url(spec.endpoint)}/readyz", timeout=5, context=_trust(spec.endpoint)) as response:
            is_it = response.headers.get(IDENTITY_HEADER) == identity(spec, storage=storage)
    except (OSError, HTTPException):  # nothing listens, it is not ready, or it is something else
        return None
    return url(spec.endpoint) if is_it else None


def ask(
    endpoint: EndpointSpec, path: str, *, body: Any = None, key: str | None = None, timeout_s: float = 5.0
) -> tuple[int, dict[str, Any]]:
    """Ask an endpoint; returns status and answer.

    Raises:
        ClusterError: nothing answers, or something that does not speak HTTP.
        UserError: the certificate of the endpoint cannot be read.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request, trust = Request(f"{url(endpoint)}{path}", data=data, headers=headers), _trust(endpoint)
    try:
        with _opened(request, timeout_s, trust) as response:
            assert response.status is not None  # it is, where the scheme is HTTP
            return response.status, _object(response.read())
    except (OSError, HTTPException) as error:
        raise ClusterError(f"{url(endpoint)}{path} does not answer: {str(error) or type(error).__name__}") from error


def _opened(request: Request, timeout_s: float, trust: ssl.SSLContext | None) -> HTTPResponse | HTTPError:
    try:
        opened: HTTPResponse = urlopen(request, timeout=timeout_s, context=trust)
    except HTTPError as refusal:
        return refusal
    return opened


def _trust(endpoint: EndpointSpec) -> ssl.SSLContext | None:
    """Its own certificate, which need not be for the address that is asked here.

    Raises:
        UserError: it cannot be read.
    """
    if endpoint.tls is None:
        return None
    file = endpoint.tls.cert_file
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:  # among them what is no certificate
        raise UserError(f"endpoint.tls.cert_file: {file} cannot be read as a certificate ({error})") from error
    context.check_hostname = False
    return context


def _object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
