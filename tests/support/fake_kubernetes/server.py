"""How is the API served over HTTP: paths, verbs, watches, and what is counted?"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import yaml
from aiohttp import web

from tests.support.fake_kubernetes import access, patches, resources, selectors, status
from tests.support.fake_kubernetes.access import Allowed
from tests.support.fake_kubernetes.faults import Dropped, Fault, Faults
from tests.support.fake_kubernetes.owners import Manager
from tests.support.fake_kubernetes.resources import Resource
from tests.support.fake_kubernetes.status import Refusal
from tests.support.fake_kubernetes.store import Ask, Body, Change, Store

_WATCH_S = 300.0
_BOOKMARK_S = 60.0


@dataclass(frozen=True, slots=True)
class Write:
    """A write that was carried out."""

    verb: str
    resource: str
    namespace: str
    name: str
    sub: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path means."""

    resource: Resource
    namespace: str
    name: str
    sub: str


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
        self.roles = roles
        self.faults = Faults()
        self.writes: list[Write] = []
        self.reads = 0
        self.forbidden: list[str] = []
        """What somebody was not allowed to do."""
        self._store, self._lock = Store(clock), threading.RLock()
        self._news: set[asyncio.Event] = set()
        self._drops = 0
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
            self._tell()
            found = self.get(resource.kind, key[1], namespace or "default")
            return found or body

    def change(self, kind: str, name: str, patch: Body, *, namespace: str = "default", sub: str = "") -> Body:
        """Lay a merge patch over an object."""
        with self._lock:
            live = self._store.find(kind, name, namespace)
            assert live is not None, f"no {kind} {name}"
            ask = Ask(Manager("test", "Update"))
            made = self._store.replace(live.resource, live.key, patches.merge(live.body, patch), ask, sub=sub)
            self._tell()
            return made.body

    def remove(self, kind: str, name: str, *, namespace: str = "default", policy: str = "Background") -> None:
        """Delete an object as somebody else would."""
        with self._lock:
            live = self._store.find(kind, name, namespace)
            assert live is not None, f"no {kind} {name}"
            self._store.delete(live.resource, live.key, Ask(Manager("test", "Update")), policy=policy)
            self._tell()

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
        self._drops += 1
        self._tell()

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
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        self.drop_watches()
        await runner.cleanup()

    def _tell(self) -> None:
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(lambda: [each.set() for each in self._news])

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
            if request.query.get("watch") in ("true", "1"):
                return await self._watch(request)
            with self._lock:
                told, code = self._handle(request, body)
        except Refusal as refusal:
            headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
            return web.json_response(refusal.body, status=refusal.code, headers=headers)
        except Dropped:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(body=told, status=code, content_type="application/json")

    def _handle(self, request: web.Request, body: bytes) -> tuple[bytes, int]:
        if (found := self._discovered(request.path)) is not None:
            return json.dumps(found).encode(), 200
        place = self._place(request.path)
        verb = _verb(request.method, place.name)
        self._check(request, verb, place)
        self.faults.before(verb, place.resource.plural, writes=len(self.writes))
        if verb in ("get", "list"):
            self.reads += 1
            return self._read(request, place), 200
        is_new = verb == "create" or (verb == "patch" and _is_apply(request) and not self._is_there(place))
        if is_new and verb == "patch":
            self._check(request, "create", place)
        told = self._written(request, verb, place, json.loads(body or b"{}"))
        if "dryRun" not in request.query:
            self.writes.append(Write(verb, place.resource.plural, place.namespace, told[1], place.sub))
            self._tell()
            self.faults.after(verb, place.resource.plural, writes=len(self.writes))
        return told[0], 201 if is_new else 200

    def _is_there(self, place: _Place) -> bool:
        try:
            self._store.get(place.resource, (place.namespace, place.name))
        except Refusal:
            return False
        return True

    def _check(self, request: web.Request, verb: str, place: _Place) -> None:
        if self.roles is None:
            return
        user = request.headers.get("Authorization", "").removeprefix("Bearer ") or "system:anonymous"
        rules = self.roles.get(user, ())
        try:
            access.check(rules, user, verb, place.resource, sub=place.sub, namespace=place.namespace, name=place.name)
        except Refusal as refusal:
            self.forbidden.append(refusal.message)
            raise

    def _discovered(self, path: str) -> Body | None:
        known = self._store.known.values()
        match path.strip("/").split("/"):
            case ["version"]:
                return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return resources.groups(known)
            case ["api", version]:
                return resources.listing(known, "", version)
            case ["apis", group, version]:
                if (found := resources.listing(known, group, version)) is None:
                    raise status.no_such_path()
                return found
        return None

    def _place(self, path: str) -> _Place:
        match path.strip("/").split("/"):
            case ["api", version, *rest]:
                group = ""
            case ["apis", group, version, *rest]:
                pass
            case _:
                raise status.no_such_path()
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and (group, version, rest[2]) in self._store.known:
            namespace, rest = rest[1], rest[2:]
        plural, name, sub = [*rest, "", "", ""][:3]
        resource = self._store.known.get((group, version, plural))
        if resource is None or (sub and not (sub == "status" and resource.has_status)):
            raise status.no_such_path()
        return _Place(resource, namespace, name, sub)

    def _read(self, request: web.Request, place: _Place) -> bytes:
        if place.name:
            return self._store.get(place.resource, (place.namespace, place.name)).told
        chosen = selectors.of(request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""))
        found = [each for each in self._store.all(place.resource, place.namespace) if chosen(each.body)]
        limit, metadata = int(request.query.get("limit") or 0), {"resourceVersion": str(self._store.version)}
        if token := request.query.get("continue"):
            began, _, after = token.partition(":")
            if int(began) < self._store.floor:
                raise status.expired()
            found = [each for each in found if "/".join(each.key) > after]
        if limit and len(found) > limit:
            found = found[:limit]
            metadata["continue"] = f"{self._store.version}:{'/'.join(found[-1].key)}"
        head = json.dumps(
            {"kind": f"{place.resource.kind}List", "apiVersion": place.resource.api_version, "metadata": metadata}
        )
        return head[:-1].encode() + b', "items": [' + b",".join(each.told for each in found) + b"]}"

    def _written(self, request: web.Request, verb: str, place: _Place, given: Any) -> tuple[bytes, str]:
        """What the answer is, and what the object is called."""
        query, kind, key = request.query, request.content_type, (place.namespace, place.name)
        is_apply = _is_apply(request)
        by = query.get("fieldManager") or (
            "" if is_apply else request.headers.get("User-Agent", "unknown").split("/")[0]
        )
        if not by:
            raise status.bad_request("fieldManager is required for apply patch")
        ask = Ask(
            Manager(by, "Apply" if is_apply else "Update", place.sub),
            is_dry="dryRun" in query,
            is_strict=query.get("fieldValidation") == "Strict",
            force=query.get("force") in ("true", "1"),
        )
        store, resource = self._store, place.resource
        match verb:
            case "create":
                made = store.create(resource, place.namespace, given, ask)
            case "update":
                made = store.replace(resource, key, given, ask, sub=place.sub)
            case "patch" if is_apply:
                made = store.apply(resource, key, given, ask, sub=place.sub)
            case "patch":
                made = store.replace(
                    resource, key, _patched(kind, store.get(resource, key).body, given), ask, sub=place.sub
                )
            case "delete":
                only = {name: value for name, value in (given.get("preconditions") or {}).items() if value}
                policy = given.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
                made = store.delete(resource, key, ask, policy=policy, **only)
            case _:
                raise Refusal(405, "MethodNotAllowed", f"{verb} is not supported")
        return made.told, made.body["metadata"]["name"]

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        with self._lock:
            place = self._place(request.path)
            self._check(request, "watch", place)
            self.faults.before("watch", place.resource.plural, writes=len(self.writes))
        query = request.query
        chosen = selectors.of(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        news = asyncio.Event()
        self._news.add(news)
        try:
            await self._stream(response, place, chosen, news, query)
        except ConnectionError:
            pass
        finally:
            self._news.discard(news)
        return response

    async def _stream(
        self,
        response: web.StreamResponse,
        place: _Place,
        chosen: selectors.Chosen,
        news: asyncio.Event,
        query: Mapping[str, str],
    ) -> None:
        ends = self._loop.time() + float(query.get("timeoutSeconds") or _WATCH_S)
        seen = int(query.get("resourceVersion") or 0)
        if not seen:  # from anywhere: what is there comes first
            with self._lock:
                seen, there = self._store.version, self._store.all(place.resource, place.namespace)
            lines = [_line("ADDED", each.told) for each in there if chosen(each.body)]
            await response.write(b"".join(lines))
        drops = self._drops
        while True:
            news.clear()
            with self._lock:
                gone = seen < self._store.floor
                lines = [] if gone else self._lines(place, chosen, seen)
                seen, floor = self._store.version, self._store.floor
            if gone:
                await response.write(_line("ERROR", json.dumps(status.expired().body).encode()))
                return
            if lines:
                await response.write(b"".join(lines))
            left = ends - self._loop.time()
            if left <= 0 or drops != self._drops or self._stop.is_set():
                break
            try:
                await asyncio.wait_for(news.wait(), min(left, _BOOKMARK_S))
            except TimeoutError:
                if query.get("allowWatchBookmarks") in ("true", "1"):
                    await response.write(_bookmark(place.resource, max(seen, floor)))

    def _lines(self, place: _Place, chosen: selectors.Chosen, seen: int) -> list[bytes]:
        found: list[bytes] = []
        for change in reversed(self._store.history):
            if change.version <= seen:
                break
            if change.now.resource.where == place.resource.where and place.namespace in ("", change.now.key[0]):
                found += _told(change, chosen)
        return found[::-1]


def _told(change: Change, chosen: selectors.Chosen) -> list[bytes]:
    """A change as a watch by selector sees it: what no longer fits is gone for it."""
    was = change.before is not None and chosen(change.before.body)
    fits = chosen(change.now.body)
    if change.type == "DELETED":
        return [_line("DELETED", change.now.told)] if was else []
    if fits:
        return [_line("MODIFIED" if was else "ADDED", change.now.told)]
    return [_line("DELETED", change.now.told)] if was else []


def _line(kind: str, told: bytes) -> bytes:
    return b'{"type": "' + kind.encode() + b'", "object": ' + told + b"}\n"


def _bookmark(resource: Resource, version: int) -> bytes:
    told = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {"resourceVersion": str(version)}}
    return _line("BOOKMARK", json.dumps(told).encode())


def _is_apply(request: web.Request) -> bool:
    return request.content_type == "application/apply-patch+yaml"


def _verb(method: str, name: str) -> str:
    match method:
        case "GET":
            return "get" if name else "list"
        case "POST":
            return "create"
        case "PUT":
            return "update"
    return method.lower()


def _patched(kind: str, body: Body, given: Any) -> Body:
    match kind:
        case "application/merge-patch+json" | "application/strategic-merge-patch+json":
            return dict(patches.merge(body, given))
        case "application/json-patch+json":
            return dict(patches.json(body, given))
    raise Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")
