"""How is a change told to who watches?"""

from __future__ import annotations

import json

from tests.support.fake_kubernetes import selectors
from tests.support.fake_kubernetes.resources import Resource
from tests.support.fake_kubernetes.store import Change


def told(change: Change, chosen: selectors.Chosen) -> list[bytes]:
    """A change as a watch by selector sees it: what no longer fits is gone for it."""
    was = change.before is not None and chosen(change.before.body)
    fits = chosen(change.now.body)
    if change.type == "DELETED":
        return [line("DELETED", change.now.told)] if was else []
    if fits:
        return [line("MODIFIED" if was else "ADDED", change.now.told)]
    return [line("DELETED", change.now.told)] if was else []


def line(kind: str, told: bytes) -> bytes:
    return b'{"type": "' + kind.encode() + b'", "object": ' + told + b"}\n"


def bookmark(resource: Resource, version: int) -> bytes:
    told = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {"resourceVersion": str(version)}}
    return line("BOOKMARK", json.dumps(told).encode())
