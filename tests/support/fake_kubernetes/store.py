"""What is in the cluster, in which version, and what becomes of it when it is written or deleted?"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tests.support.fake_kubernetes import owners, resources, schema, status
from tests.support.fake_kubernetes.owners import Manager, Owned
from tests.support.fake_kubernetes.resources import Resource

Body = dict[str, Any]
Key = tuple[str, str]  # namespace and name
FOREGROUND = "foregroundDeletion"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?")
_SERVERS_OWN = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True)
class Stored:
    """An object, as it is or was. Nothing of its body is ever changed in place."""

    resource: Resource
    body: Body
    owned: Owned

    @property
    def key(self) -> Key:
        metadata = self.body["metadata"]
        return metadata.get("namespace", ""), metadata["name"]

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @cached_property
    def told(self) -> bytes:
        """As a client gets it."""
        metadata = self.body["metadata"]
        managed = owners.as_json(self.owned, api_version=self.resource.api_version, at=metadata["creationTimestamp"])
        return json.dumps({**self.body, "metadata": {**metadata, "managedFields": managed}}).encode()


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the history."""

    version: int
    type: str
    now: Stored
    before: Stored | None


@dataclass(frozen=True, slots=True)
class Ask:
    """How a write is meant."""

    by: Manager
    is_dry: bool = False
    is_strict: bool = False
    force: bool = False


class Store:
    """All objects of a cluster."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.known: dict[tuple[str, str, str], Resource] = {each.where: each for each in resources.BUILT_INS}
        self._objects: dict[tuple[str, str, str], dict[Key, Stored]] = {}
        self._dependents: dict[str, set[tuple[tuple[str, str, str], Key]]] = {}
        self._uids: set[str] = set()
        self.history: list[Change] = []
        self.version = 1
        self.floor = 0  # what is older can no longer be watched

    def get(self, resource: Resource, key: Key) -> Stored:
        """Raises Refusal."""
        found = self._objects.get(resource.where, {}).get(key)
        if found is None:
            raise status.not_found(resource.called, key[1])
        return found

    def all(self, resource: Resource, namespace: str = "") -> list[Stored]:
        """Those of a kind, by name."""
        found = self._objects.get(resource.where, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def compact(self) -> None:
        """Forget the history: watches that begin earlier expire."""
        self.history.clear()
        self.floor = self.version

    def create(self, resource: Resource, namespace: str, given: Body, ask: Ask) -> Stored:
        """Raises Refusal."""
        body = self._admitted(resource, self._named(resource, namespace, given), ask)
        key = body["metadata"].get("namespace", ""), body["metadata"]["name"]
        if key in self._objects.get(resource.where, {}):
            raise status.exists(resource.called, key[1])
        self._check_place(resource, key)
        if resource.has_status:
            body = {name: value for name, value in body.items() if name != "status"}
        owned = owners.updated({}, body, {}, by=ask.by, schema=resource.fields)
        return self._add(resource, body, owned, ask)

    def apply(self, resource: Resource, key: Key, given: Body, ask: Ask, *, sub: str = "") -> Stored:
        """Server-side apply. Raises Refusal."""
        live = self._objects.get(resource.where, {}).get(key)
        self._check_applied(resource, key, given)
        if live is None:
            return self._apply_new(resource, key, given, ask, sub=sub)
        self._check_version(resource, live, given)
        part = {"status": given["status"]} if sub and "status" in given else given
        if not sub and resource.has_status:
            part = {name: value for name, value in given.items() if name != "status"}
        body, owned = owners.applied(live.body, live.owned, part, by=ask.by, schema=resource.fields, force=ask.force)
        return self._replace(live, body, owned, ask, sub=sub)

    def replace(self, resource: Resource, key: Key, given: Body, ask: Ask, *, sub: str = "") -> Stored:
        """A PUT, or what a patch has made of an object. Raises Refusal."""
        live = self.get(resource, key)
        if given.get("metadata", {}).get("name", key[1]) != key[1]:
            raise status.bad_request("the name of the object does not match the name on the URL")
        self._check_version(resource, live, given)
        body = self._parts(live, given, sub)
        owned = owners.updated(live.body, body, live.owned, by=ask.by, schema=resource.fields)
        return self._replace(live, body, owned, ask, sub=sub)

    def delete(self, resource: Resource, key: Key, ask: Ask, *, policy: str = "Background", **only: str) -> Stored:
        """Mark it deleted, or take it away where no finalizer holds it. `only` are preconditions. Raises Refusal."""
        live = self.get(resource, key)
        for name, value in only.items():
            if live.body["metadata"].get(name) != value:
                raise status.conflict(
                    resource.called, key[1], f"the {name} in the precondition ({value}) does not match"
                )
        if ask.is_dry:
            return live
        metadata = live.body["metadata"]
        if policy == "Orphan":
            self._orphan(live)
        if policy == "Foreground" and self._dependents.get(live.uid):
            metadata = {**metadata, "finalizers": [*metadata.get("finalizers", []), FOREGROUND]}
        if not metadata.get("finalizers"):
            return self._remove(live)
        if "deletionTimestamp" not in metadata:
            metadata = {**metadata, "deletionTimestamp": self._now(), "deletionGracePeriodSeconds": 0}
            if "generation" in metadata:
                metadata["generation"] += 1
            live = self._put(live, {**live.body, "metadata": metadata}, live.owned)
        if policy == "Foreground":
            self._collect(live.uid)
            self._finish(live.uid)
        return live

    def find(self, kind: str, name: str, namespace: str = "default") -> Stored | None:
        """An object by its kind."""
        for resource in self.known.values():
            if resource.kind == kind and resource.group != "events.k8s.io":
                found = self._objects.get(resource.where, {})
                return found.get((namespace if resource.is_namespaced else "", name))
        raise AssertionError(f"no kind {kind}")

    def _named(self, resource: Resource, namespace: str, given: Body) -> Body:
        metadata = dict(given.get("metadata", {}))
        if "name" not in metadata and "generateName" in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if not _NAME.fullmatch(metadata.get("name", "")) or len(metadata["name"]) > 253:
            raise status.invalid(
                resource.kind, metadata.get("name", ""), ["metadata.name: Invalid value: a DNS subdomain"]
            )
        if metadata.get("resourceVersion"):
            raise status.bad_request("resourceVersion should not be set on objects to be created")
        if resource.is_namespaced and metadata.setdefault("namespace", namespace) != namespace:
            raise status.bad_request("the namespace of the object does not match the namespace on the request")
        return {**given, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}

    def _check_place(self, resource: Resource, key: Key) -> None:
        namespaces = self._objects.get(("", "v1", "namespaces"), {})
        if resource.is_namespaced and ("", key[0]) not in namespaces:
            raise status.not_found("namespaces", key[0])

    def _check_applied(self, resource: Resource, key: Key, given: Body) -> None:
        named = given.get("metadata", {})
        if named.get("managedFields"):
            raise status.bad_request("metadata.managedFields must be nil")
        if given.get("kind") != resource.kind or given.get("apiVersion") != resource.api_version:
            raise status.bad_request("apiVersion and kind must be those of the path")
        if named.get("name", key[1]) != key[1]:
            raise status.bad_request("the name of the object does not match the name on the URL")
        if resource.schema is not None:
            for path in schema.unknown(given, resource.schema):
                raise status.bad_request(
                    f"failed to create typed patch object ({key[0]}/{key[1]}; {resource.api_version}, "
                    f"Kind={resource.kind}): .{path}: field not declared in schema"
                )

    def _apply_new(self, resource: Resource, key: Key, given: Body, ask: Ask, *, sub: str) -> Stored:
        if sub:
            raise status.not_found(resource.called, key[1])
        if given.get("metadata", {}).get("resourceVersion"):
            raise status.conflict(resource.called, key[1])
        given = {**given, "metadata": {**given.get("metadata", {}), "name": key[1]}}
        body = self._admitted(resource, self._named(resource, key[0], given), ask)
        self._check_place(resource, key)
        if resource.has_status:
            body = {name: value for name, value in body.items() if name != "status"}
        _, owned = owners.applied({}, {}, given, by=ask.by, schema=resource.fields, force=True)
        return self._add(resource, body, owned, ask)

    def _check_version(self, resource: Resource, live: Stored, given: Body) -> None:
        metadata = given.get("metadata", {})
        if metadata.get("resourceVersion") not in (None, "", live.body["metadata"]["resourceVersion"]):
            raise status.conflict(
                resource.called,
                live.key[1],
                "the object has been modified; please apply your changes to the latest version",
            )
        if metadata.get("uid") not in (None, live.uid):
            raise status.conflict(
                resource.called, live.key[1], f"Precondition failed: UID in precondition: {metadata['uid']}"
            )

    def _parts(self, live: Stored, given: Body, sub: str) -> Body:
        """What such a write can change: the status alone, or all but the status."""
        if sub == "status":
            rest = {name: value for name, value in live.body.items() if name != "status"}
            return rest | ({"status": given["status"]} if "status" in given else {})
        own = {name: live.body["metadata"][name] for name in _SERVERS_OWN if name in live.body["metadata"]}
        given_metadata = {key: value for key, value in given.get("metadata", {}).items() if key not in _SERVERS_OWN}
        metadata = {**given_metadata, **own, "name": live.key[1]}
        if live.key[0]:
            metadata["namespace"] = live.key[0]
        metadata.pop("managedFields", None)
        body = {**given, "apiVersion": live.body["apiVersion"], "kind": live.body["kind"], "metadata": metadata}
        if live.resource.has_status:
            body.pop("status", None)
            body |= {"status": live.body["status"]} if "status" in live.body else {}
        return body

    def _admitted(self, resource: Resource, body: Body, ask: Ask) -> Body:
        if resource.schema is None:
            return body
        unknown = list(schema.unknown(body, resource.schema))
        if unknown and ask.is_strict:
            raise status.bad_request(
                "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown)
            )
        body = schema.defaulted(schema.pruned(body, resource.schema), resource.schema)
        if causes := list(schema.violations(body, resource.schema)):
            raise status.invalid(f"{resource.kind}.{resource.group}", body["metadata"]["name"], causes)
        return dict(body)

    def _add(self, resource: Resource, body: Body, owned: Owned, ask: Ask) -> Stored:
        metadata = {**body["metadata"], "uid": str(uuid.uuid4()), "creationTimestamp": self._now()}
        metadata.pop("managedFields", None)
        if resource.counts_generations:
            metadata["generation"] = 1
        made = Stored(resource, {**body, "metadata": {**metadata, "resourceVersion": str(self.version + 1)}}, owned)
        if ask.is_dry:
            return made
        self._uids.add(made.uid)
        for owner in _owner_uids(made):
            self._dependents.setdefault(owner, set()).add((resource.where, made.key))
        self._record("ADDED", made, None)
        if resource.kind == "CustomResourceDefinition":
            self.known |= {each.where: each for each in resources.of_crd(body)}
        if _owner_uids(made) and not any(uid in self._uids for uid in _owner_uids(made)):
            self._remove(made)  # its owner went while it was made
        return made

    def _replace(self, live: Stored, body: Body, owned: Owned, ask: Ask, *, sub: str) -> Stored:
        resource, before = live.resource, live.body
        body = self._admitted(resource, body, ask)
        metadata = {**body["metadata"], "resourceVersion": before["metadata"]["resourceVersion"]}
        self._check_finalizers(live, metadata)
        if resource.counts_generations and not sub and _meant(before, resource) != _meant(body, resource):
            metadata["generation"] = before["metadata"]["generation"] + 1
        body = {**body, "metadata": metadata}
        if ask.is_dry:
            return replace(live, body=body, owned=owned)
        if body == before:
            return live if owned == live.owned else self._put(live, body, owned)
        result = self._put(live, body, owned)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            return self._remove(result)
        return result

    def _check_finalizers(self, live: Stored, metadata: Body) -> None:
        new = set(metadata.get("finalizers", ())) - set(live.body["metadata"].get("finalizers", ()))
        if new and "deletionTimestamp" in metadata:
            told = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
            raise status.invalid(live.resource.kind, live.key[1], [f"{told}, found {sorted(new)}"])

    def _put(self, live: Stored, body: Body, owned: Owned) -> Stored:
        metadata = {**body["metadata"], "resourceVersion": str(self.version + 1)}
        made = Stored(live.resource, {**body, "metadata": metadata}, owned)
        for owner in _owner_uids(made):
            self._dependents.setdefault(owner, set()).add((made.resource.where, made.key))
        self._record("MODIFIED", made, live)
        return made

    def _remove(self, live: Stored) -> Stored:
        metadata = {**live.body["metadata"], "resourceVersion": str(self.version + 1)}
        gone = Stored(live.resource, {**live.body, "metadata": metadata}, live.owned)
        self._uids.discard(live.uid)
        self._record("DELETED", gone, live)
        self._collect(live.uid)
        for owner in _owner_uids(live):
            self._dependents.get(owner, set()).discard((live.resource.where, live.key))
            self._finish(owner)
        return gone

    def _collect(self, uid: str) -> None:
        """Garbage collection of what belonged to an owner."""
        for where, key in sorted(self._dependents.get(uid, ())):
            live = self._objects.get(where, {}).get(key)
            if live is None or uid not in _owner_uids(live) or "deletionTimestamp" in live.body["metadata"]:
                continue
            if not any(other in self._uids for other in _owner_uids(live) if other != uid):
                self.delete(live.resource, key, Ask(Manager("garbage-collector", "Update")))

    def _finish(self, uid: str) -> None:
        """An owner that waited for its dependents waits no longer once there is none."""
        owner = next((each for each in self._everything() if each.uid == uid), None)
        if owner is None or FOREGROUND not in owner.body["metadata"].get("finalizers", ()):
            return
        if any(key in self._objects.get(where, {}) for where, key in self._dependents.get(uid, ())):
            return
        rest = [each for each in owner.body["metadata"]["finalizers"] if each != FOREGROUND]
        metadata = {**owner.body["metadata"], "finalizers": rest}
        live = self._put(owner, {**owner.body, "metadata": metadata}, owner.owned)
        if not rest:
            self._remove(live)

    def _orphan(self, owner: Stored) -> None:
        for where, key in sorted(self._dependents.pop(owner.uid, ())):
            live = self._objects.get(where, {}).get(key)
            if live is not None:
                kept = [each for each in live.body["metadata"]["ownerReferences"] if each["uid"] != owner.uid]
                self._put(
                    live, {**live.body, "metadata": {**live.body["metadata"], "ownerReferences": kept}}, live.owned
                )

    def _record(self, what: str, now: Stored, before: Stored | None) -> None:
        self.version += 1
        of_kind = self._objects.setdefault(now.resource.where, {})
        if what == "DELETED":
            of_kind.pop(now.key, None)
        else:
            of_kind[now.key] = now
        self.history.append(Change(self.version, what, now, before))

    def _everything(self) -> Iterator[Stored]:
        return itertools.chain.from_iterable(of_kind.values() for of_kind in list(self._objects.values()))

    def _now(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _owner_uids(stored: Stored) -> set[str]:
    return {each["uid"] for each in stored.body["metadata"].get("ownerReferences", ())}


def _meant(body: Body, resource: Resource) -> Body:
    """What a new generation is counted for."""
    return {
        name: value for name, value in body.items() if name not in ("metadata", "status" if resource.has_status else "")
    }
