"""The API server in a thread, and what a test can do to it and to what it holds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import yaml
from aiohttp import web

from tests.support.fake_kubernetes import patches
from tests.support.fake_kubernetes.access import Allowed
from tests.support.fake_kubernetes.faults import Fault
from tests.support.fake_kubernetes.owners import Manager
from tests.support.fake_kubernetes.resources import Resource
from tests.support.fake_kubernetes.service import Service
from tests.support.fake_kubernetes.store import Store
from tests.support.fake_kubernetes.stored import Ask, Body


class ApiServer:
    """An API server on loopback, in a thread of its own. Leaving its context ends it."""

    def __init__(
        self,
        *,
        crds: Sequence[Body] = (),
        roles: Mapping[str, Sequence[Allowed]] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`roles`: what each user may do, by the token that is their name; None lets everybody do all."""
        self._store, self._lock = Store(clock), threading.RLock()
        self._service = Service(self._store, self._lock, roles)
        self.faults, self.writes, self.forbidden = self._service.faults, self._service.writes, self._service.forbidden
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="api-server", daemon=True)
        self._ready, self._url = threading.Event(), ""
        for name in ("default", "kube-system"):
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for crd in crds:
            self.put(crd)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    def kubeconfig(self, path: Path, *, token: str = "admin", namespace: str = "default") -> Path:
        """Write a kubeconfig for a user."""
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
                    "users": [{"name": "user", "user": {"token": token}}],
                    "contexts": [
                        {"name": "fake", "context": {"cluster": "fake", "user": "user", "namespace": namespace}}
                    ],
                }
            )
        )
        return path

    def put(self, body: Body, *, by: str = "test") -> Body:
        """Create or replace an object, as somebody else would; its status too."""
        with self._lock:
            resource = self._of(body)
            namespace = body["metadata"].get("namespace", "default" if resource.is_namespaced else "")
            ask, key = Ask(Manager(by, "Update")), (namespace, body["metadata"]["name"])
            if self.get(resource.kind, key[1], namespace or "default") is None:
                self._store.create(resource, namespace, body, ask)
            else:
                self._store.replace(resource, key, body, ask)
            if "status" in body and resource.has_status:
                self._store.replace(resource, key, {"status": body["status"]}, ask, sub="status")
            self._service.tell()
            found = self.get(resource.kind, key[1], namespace or "default")
            return found or body

    def change(self, kind: str, name: str, patch: Body, *, namespace: str = "default", sub: str = "") -> Body:
        """Lay a merge patch over an object."""
        with self._lock:
            live = self._store.find(kind, name, namespace)
            assert live is not None, f"no {kind} {name}"
            ask = Ask(Manager("test", "Update"))
            made = self._store.replace(live.resource, live.key, patches.merge(live.body, patch), ask, sub=sub)
            self._service.tell()
            return made.body

    def remove(self, kind: str, name: str, *, namespace: str = "default", policy: str = "Background") -> None:
        """Delete an object as somebody else would."""
        with self._lock:
            live = self._store.find(kind, name, namespace)
            assert live is not None, f"no {kind} {name}"
            self._store.delete(live.resource, live.key, Ask(Manager("test", "Update")), policy=policy)
            self._service.tell()

    def get(self, kind: str, name: str, namespace: str = "default") -> Body | None:
        """An object, None where it is not."""
        with self._lock:
            found = self._store.find(kind, name, namespace)
            return None if found is None else json.loads(found.told)

    def all(self, kind: str) -> list[Body]:
        """All objects of a kind."""
        with self._lock:
            resource = next(each for each in self._store.known.values() if each.kind == kind)
            return [json.loads(each.told) for each in self._store.all(resource)]

    def all_of(self, group: str, kind: str) -> list[Body]:
        """All objects of a kind that several groups have."""
        with self._lock:
            resource = next(each for each in self._store.known.values() if (each.group, each.kind) == (group, kind))
            return [json.loads(each.told) for each in self._store.all(resource)]

    def phases(self, kind: str) -> Counter[str]:
        """How many objects of a kind say that they are in each phase; cheap, however many there are."""
        with self._lock:
            resource = next(each for each in self._store.known.values() if each.kind == kind)
            return Counter(str(each.body.get("status", {}).get("phase", "")) for each in self._store.all(resource))

    def knows(self, kind: str) -> bool:
        """Whether there is such a kind."""
        return any(each.kind == kind for each in self._store.known.values())

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._store.version

    def changes(self, since: int) -> list[tuple[str, Body]]:
        """What has become of which object since a version, as a watch of everything would tell."""
        with self._lock:
            found = [each for each in self._store.history if each.version > since]
            return [(each.type, json.loads(each.now.told)) for each in found]

    def expire(self) -> None:
        """Forget the history, and end every watch: what watches on gets 410."""
        with self._lock:
            self._store.compact()
        self.drop_watches()

    def drop_watches(self) -> None:
        """Close every watch without a word."""
        self._service.drop_watches()

    def inject(self, *faults: Fault) -> None:
        """Have requests go wrong."""
        self.faults.pending += faults

    def die_after(self, writes: int) -> None:
        """Answer nobody once so many writes more are carried out: their client was killed after the last."""
        self.faults.last_write = len(self.writes) + writes

    @property
    def is_dead(self) -> bool:
        """Whether it answers nobody."""
        return self.faults.last_write is not None and len(self.writes) >= self.faults.last_write

    def revive(self) -> None:
        """Answer again."""
        self.faults.last_write = None

    def _of(self, body: Body) -> Resource:
        group, _, version = body["apiVersion"].rpartition("/")
        return next(
            each
            for each in self._store.known.values()
            if (each.group, each.version, each.kind) == (group, version, body["kind"])
        )

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        self._service.serve(self._loop)
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._service.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        self._service.drop_watches(for_good=True)
        await runner.cleanup()
