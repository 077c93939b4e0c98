"""What does each request do: paths, verbs, watches, and what is counted?"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.fake_kubernetes import access, patches, resources, selectors, status, watches
from tests.support.fake_kubernetes.access import Allowed
from tests.support.fake_kubernetes.faults import Dropped, Faults
from tests.support.fake_kubernetes.owners import Manager
from tests.support.fake_kubernetes.resources import Resource
from tests.support.fake_kubernetes.status import Refusal
from tests.support.fake_kubernetes.store import Store
from tests.support.fake_kubernetes.stored import Ask, Body, Write

_WATCH_S = 300.0
_BOOKMARK_S = 60.0


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path means."""

    resource: Resource
    namespace: str
    name: str
    sub: str


class Service:
    """Answers requests, in the thread of a loop."""

    def __init__(self, store: Store, lock: threading.RLock, roles: Mapping[str, Sequence[Allowed]] | None) -> None:
        self._store, self._lock, self._roles = store, lock, roles
        self.faults = Faults()
        self.writes: list[Write] = []
        self.forbidden: list[str] = []
        self._news: set[asyncio.Event] = set()
        self._drops, self._is_ending = 0, False
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer in this loop."""
        self._loop = loop

    def drop_watches(self, *, for_good: bool = False) -> None:
        """Close every watch without a word."""
        self._drops, self._is_ending = self._drops + 1, for_good
        self.tell()

    def tell(self) -> None:
        """Something has changed: who watches is to look."""
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(lambda: [each.set() for each in self._news])

    async def answer(self, request: web.Request) -> web.StreamResponse:
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
            return self._read(request, place), 200
        is_new = verb == "create" or (verb == "patch" and _is_apply(request) and not self._is_there(place))
        if is_new and verb == "patch":
            self._check(request, "create", place)
        told = self._written(request, verb, place, json.loads(body or b"{}"))
        if "dryRun" not in request.query:
            self.writes.append(Write(verb, place.resource.plural, place.namespace, told[1], place.sub))
            self.tell()
            self.faults.after(verb, place.resource.plural, writes=len(self.writes))
        return told[0], 201 if is_new else 200

    def _is_there(self, place: _Place) -> bool:
        try:
            self._store.get(place.resource, (place.namespace, place.name))
        except Refusal:
            return False
        return True

    def _check(self, request: web.Request, verb: str, place: _Place) -> None:
        if self._roles is None:
            return
        user = request.headers.get("Authorization", "").removeprefix("Bearer ") or "system:anonymous"
        rules = self._roles.get(user, ())
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
        loop = asyncio.get_running_loop()
        ends = loop.time() + float(query.get("timeoutSeconds") or _WATCH_S)
        seen = int(query.get("resourceVersion") or 0)
        if not seen:  # from anywhere: what is there comes first
            with self._lock:
                seen, there = self._store.version, self._store.all(place.resource, place.namespace)
            lines = [watches.line("ADDED", each.told) for each in there if chosen(each.body)]
            await response.write(b"".join(lines))
        drops = self._drops
        while True:
            news.clear()
            with self._lock:
                gone = seen < self._store.floor
                lines = [] if gone else self._news_lines(place, chosen, seen)
                seen, floor = self._store.version, self._store.floor
            if gone:
                await response.write(watches.line("ERROR", json.dumps(status.expired().body).encode()))
                return
            if lines:
                await response.write(b"".join(lines))
            left = ends - loop.time()
            if left <= 0 or drops != self._drops or self._is_ending:
                break
            try:
                await asyncio.wait_for(news.wait(), min(left, _BOOKMARK_S))
            except TimeoutError:
                if query.get("allowWatchBookmarks") in ("true", "1"):
                    await response.write(watches.bookmark(place.resource, max(seen, floor)))

    def _news_lines(self, place: _Place, chosen: selectors.Chosen, seen: int) -> list[bytes]:
        found: list[bytes] = []
        for change in reversed(self._store.history):
            if change.version <= seen:
                break
            if change.now.resource.where == place.resource.where and place.namespace in ("", change.now.key[0]):
                found += watches.told(change, chosen)
        return found[::-1]


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
