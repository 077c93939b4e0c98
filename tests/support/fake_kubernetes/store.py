"""What is in the cluster, in which version, and what becomes of it when it is written or deleted?"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tests.support.fake_kubernetes import admission, owners, resources, status
from tests.support.fake_kubernetes.owners import Manager, Owned
from tests.support.fake_kubernetes.resources import Resource
from tests.support.fake_kubernetes.stored import Ask, Body, Key, Stored

FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the history."""

    version: int
    type: str
    now: Stored
    before: Stored | None


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
        body = admission.admitted(resource, admission.named(resource, namespace, given), ask)
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
        admission.check_applied(resource, key, given)
        if live is None:
            return self._apply_new(resource, key, given, ask, sub=sub)
        admission.check_version(resource, live, given)
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
        admission.check_version(resource, live, given)
        body = admission.parts(live, given, sub)
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

    def _check_place(self, resource: Resource, key: Key) -> None:
        namespaces = self._objects.get(("", "v1", "namespaces"), {})
        if resource.is_namespaced and ("", key[0]) not in namespaces:
            raise status.not_found("namespaces", key[0])

    def _apply_new(self, resource: Resource, key: Key, given: Body, ask: Ask, *, sub: str) -> Stored:
        if sub:
            raise status.not_found(resource.called, key[1])
        if given.get("metadata", {}).get("resourceVersion"):
            raise status.conflict(resource.called, key[1])
        given = {**given, "metadata": {**given.get("metadata", {}), "name": key[1]}}
        body = admission.admitted(resource, admission.named(resource, key[0], given), ask)
        self._check_place(resource, key)
        if resource.has_status:
            body = {name: value for name, value in body.items() if name != "status"}
        _, owned = owners.applied({}, {}, given, by=ask.by, schema=resource.fields, force=True)
        return self._add(resource, body, owned, ask)

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
        body = admission.admitted(resource, body, ask)
        metadata = {**body["metadata"], "resourceVersion": before["metadata"]["resourceVersion"]}
        admission.check_finalizers(live, metadata)
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
