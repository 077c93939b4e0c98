"""Is an object taken as it is given, and what of it counts?"""

from __future__ import annotations

import re
import uuid

from tests.support.fake_kubernetes import schema, status
from tests.support.fake_kubernetes.resources import Resource
from tests.support.fake_kubernetes.stored import Ask, Body, Key, Stored

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?")
_SERVERS_OWN = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


def named(resource: Resource, namespace: str, given: Body) -> Body:
    """The object with its place; raises Refusal where that is none."""
    metadata = dict(given.get("metadata", {}))
    if "name" not in metadata and "generateName" in metadata:
        metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
    if not _NAME.fullmatch(metadata.get("name", "")) or len(metadata["name"]) > 253:
        raise status.invalid(resource.kind, metadata.get("name", ""), ["metadata.name: Invalid value: a DNS subdomain"])
    if metadata.get("resourceVersion"):
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    if resource.is_namespaced and metadata.setdefault("namespace", namespace) != namespace:
        raise status.bad_request("the namespace of the object does not match the namespace on the request")
    return {**given, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def check_applied(resource: Resource, key: Key, given: Body) -> None:
    """Raise Refusal for what cannot be applied there."""
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


def check_version(resource: Resource, live: Stored, given: Body) -> None:
    """Raise Refusal where it was made from another version, or is of another object."""
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


def parts(live: Stored, given: Body, sub: str) -> Body:
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


def admitted(resource: Resource, body: Body, ask: Ask) -> Body:
    """The object as its schema has it; raises Refusal where it breaks it."""
    if resource.schema is None:
        return body
    unknown = list(schema.unknown(body, resource.schema))
    if unknown and ask.is_strict:
        raise status.bad_request("strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown))
    body = schema.defaulted(schema.pruned(body, resource.schema), resource.schema)
    if causes := list(schema.violations(body, resource.schema)):
        raise status.invalid(f"{resource.kind}.{resource.group}", body["metadata"]["name"], causes)
    return dict(body)


def check_finalizers(live: Stored, metadata: Body) -> None:
    """Raise Refusal for a finalizer that comes too late."""
    new = set(metadata.get("finalizers", ())) - set(live.body["metadata"].get("finalizers", ()))
    if new and "deletionTimestamp" in metadata:
        told = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
        raise status.invalid(live.resource.kind, live.key[1], [f"{told}, found {sorted(new)}"])
