"""What of the cluster is heard, and how? By kopf, which lists and watches; all of it goes one way: to `Operator.seen`.

Only `on.event` is used: it needs no finalizer, no annotation and no memory of its own in the objects, and so what is
done depends on what there is alone. Peering is off: replicas agree by a Lease.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Final

import kopf

from eagleray.kube.client import OPERATED, PLURALS
from eagleray.kube.kinds import KINDS, LABELLED, OWNERS
from eagleray.kube.operator import Operator

_RECONNECT_S: Final = 0.5
_WATCH_S: Final = 300.0


async def listen(operator: Operator, *, namespaces: Sequence[str] | None, stop: threading.Event) -> None:
    """Hear of every change until `stop`, SIGINT or SIGTERM. `namespaces` None is all of them."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_via_client)
    settings = _settings(is_everywhere=namespaces is None)
    for kind in KINDS:
        if not kind.is_followed:
            continue
        group, _, version = kind.api_version.rpartition("/")
        plural = (PLURALS | OPERATED)[kind.kind]
        kopf.on.event(group, version, plural, registry=registry, id=f"seen-{plural}")(_seen(operator, kind.kind))
        if kind.kind not in OWNERS:
            settings.watching.label_selectors[group, version, plural] = LABELLED
    try:
        await kopf.operator(
            registry=registry,
            settings=settings,
            standalone=True,
            clusterwide=namespaces is None,
            namespaces=namespaces or (),
            stop_flag=stop,
        )
    finally:
        stop.set()  # a signal has ended it, and a thread of kopf's waits for the flag


def _settings(*, is_everywhere: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.watching.reconnect_backoff = _RECONNECT_S
    settings.watching.server_timeout = _WATCH_S
    settings.watching.client_timeout = _WATCH_S + 30
    # Needs to see all namespaces and definitions; who looks after some namespaces may not.
    settings.scanning.disabled = not is_everywhere
    return settings


def _seen(operator: Operator, kind: str) -> Any:
    async def seen(body: Any, type: str | None, **_: Any) -> None:
        manifest = {**body, "kind": kind}
        # Off the loop: it waits for a lock that other threads hold.
        await asyncio.to_thread(operator.seen, manifest, is_gone=type == "DELETED")

    return seen
