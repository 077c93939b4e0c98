"""How is the page served: on which address, to whom, with which certificate?"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import uvicorn

from eagleray.errors import UserError
from eagleray.serving import tls
from eagleray.serving.auth import Authority, NoAuth
from eagleray.spec.endpoint import LOOPBACK, TlsSpec
from eagleray.store import keys
from eagleray.store.keys import KeyHome
from eagleray.store.objects import Objects
from eagleray.ui.app import build
from eagleray.ui.looks import Looks

_DRAIN_S = 2
Say = Callable[[str], None]


def serve(
    objects: Objects,
    home: KeyHome,
    *,
    host: str,
    port: int,
    asks_for_key: bool,
    files: TlsSpec | None,
    say: Say,
) -> None:
    """Answer until an interrupt. `home` has the keys; they are asked for on every address that others reach.

    Raises:
        UserError: the address cannot be listened on, or the files are no certificate and its key.
    """
    if files is not None:
        tls.check(files)
    needs_keys = asks_for_key or host not in LOOPBACK
    authority = Authority(partial(keys.load, home)) if needs_keys else NoAuth()
    app = build(Looks(objects), authority, storage=objects.uri)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
        ssl_certfile=files.cert_file if files else None,
        ssl_keyfile=files.key_file if files else None,
    )
    with _listening(host, port) as listener:
        if needs_keys:
            _tell_of_keys(home, say, is_plain=files is None and host not in LOOPBACK)
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if files else "http"
        told = f"{objects.uri} at {scheme}://{shown}:{listener.getsockname()[1]} (Ctrl-C ends it)"
        with suppress(KeyboardInterrupt):  # uvicorn has ended by itself then, and raises it again
            _Server(config, lambda: say(told)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says so once it answers, and an interrupt ends it as it should."""

    def __init__(self, config: uvicorn.Config, say: Callable[[], None]) -> None:
        super().__init__(config)
        self._say = say

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._say()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there: uvicorn itself would end the process where it cannot."""
    try:
        # The first: of `localhost` that may be ::1 alone.
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port}: cannot be listened on: {error.strerror}: give another --port, or 0 for any "
            "that is free"
        ) from error


def _tell_of_keys(home: KeyHome, say: Say, *, is_plain: bool) -> None:
    now = datetime.now(UTC)
    if not any(record.state(now) == "live" and "admin" in record.scopes for record in home.records()):
        say("no key may look at this page yet: `eagleray keys create NAME --scope admin` makes one")
    if is_plain:
        say("warning: keys cross the network in the clear: give --tls-cert and --tls-key, or listen on 127.0.0.1")
