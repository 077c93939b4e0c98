"""What the operator reads and writes in a cluster, each as one request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from eagleray.kube import client
from eagleray.kube.actions import EmitEvent, SetFinalizers, SetStatus
from eagleray.kube.client import Api, Refused
from eagleray.kube.conditions import timestamp
from eagleray.kube.kinds import LABELLED, Kind
from eagleray.kube.target import Manifest

MANAGER: Final = "eagleray-operator"
_PAGE: Final = 100
_CRD: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Cluster:
    """The API server, as the operator uses it. Every method raises Refused, or ClusterError where nobody answers."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self, kind: Kind, namespace: str | None) -> Iterator[Manifest]:
        """All objects of a kind that may be ours; none where the cluster does not know the kind."""
        where = client.collection(kind.api_version, kind.kind, namespace)
        asked = {"limit": str(_PAGE)} | ({"labelSelector": LABELLED} if kind.is_ours else {})
        while True:
            try:
                page = self._api.ask("GET", f"{where}?{urlencode(asked)}")
            except Refused as refused:
                if refused.status == 404:
                    return
                raise
            for each in page["items"]:
                # In a list the server leaves out what each of its items is.
                yield {**each, "apiVersion": kind.api_version, "kind": kind.kind}
            if not page["metadata"].get("continue"):
                return
            asked["continue"] = page["metadata"]["continue"]

    def read(self, manifest: Manifest) -> Manifest | None:
        """An object as it is there."""
        return self._api.read(manifest)

    def crd(self, name: str) -> dict[str, Any] | None:
        """A CustomResourceDefinition, None where there is none."""
        try:
            return self._api.ask("GET", f"{_CRD}/{name}")
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def serves(self, api_version: str) -> bool:
        """Whether the cluster has kinds of this group and version: everybody may ask that."""
        try:
            self._api.ask("GET", f"/apis/{api_version}")
        except Refused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def apply(self, manifest: Manifest) -> Manifest:
        """Have it be like this; what we no longer ask for goes, what others ask for stays."""
        asked = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
        return self._api.ask("PATCH", f"{client.path(manifest)}?{urlencode(asked)}", body=manifest)

    def delete(self, manifest: Manifest) -> None:
        """Delete this object, with what belongs to it. One that is gone already is no error."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": manifest["metadata"]["uid"]}}
        try:
            self._api.ask("DELETE", client.path(manifest), body=options, content=client.JSON)
        except Refused as refused:
            if refused.status != 404:
                raise

    def set_status(self, action: SetStatus) -> Manifest:
        """Tell the status, if nobody has changed the document since."""
        owner = action.owner
        names = {key: owner["metadata"][key] for key in ("name", "namespace", "resourceVersion")}
        body = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "metadata": names, "status": action.status}
        asked = {"fieldManager": MANAGER, "force": "true"}
        return self._api.ask("PATCH", f"{client.path(owner)}/status?{urlencode(asked)}", body=body)

    def set_finalizers(self, action: SetFinalizers) -> Manifest:
        """Have these finalizers, if nobody has changed the document since."""
        version = action.owner["metadata"]["resourceVersion"]
        body = {"metadata": {"finalizers": list(action.finalizers), "resourceVersion": version}}
        where = f"{client.path(action.owner)}?{urlencode({'fieldManager': MANAGER})}"
        return self._api.ask("PATCH", where, body=body, content=client.MERGE_PATCH)

    def emit(self, action: EmitEvent, *, now: datetime, by: str) -> None:
        """Record an event. Told again for the same version of the document, it is the same event."""
        owner = action.owner["metadata"]
        told = (owner["uid"], owner.get("resourceVersion", ""), action.reason, action.message)
        name = f"{owner['name']}.{hashlib.sha256('/'.join(told).encode()).hexdigest()[:16]}"
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": owner["namespace"]},
            "eventTime": timestamp(now).replace("Z", ".000000Z"),
            "reportingController": "eagleray.io/operator",
            "reportingInstance": by[:128],
            "action": "Reconcile",
            "type": action.type,
            "reason": action.reason,
            "note": action.message[:1000],
            "regarding": {
                "apiVersion": action.owner["apiVersion"],
                "kind": action.owner["kind"],
                "name": owner["name"],
                "namespace": owner["namespace"],
                "uid": owner["uid"],
            },
        }
        where = client.collection("events.k8s.io/v1", "Event", owner["namespace"])
        try:
            self._api.ask("POST", where, body=body, content=client.JSON)
        except Refused as refused:
            if refused.status != 409:
                raise

    def lease(self, namespace: str, name: str) -> Manifest | None:
        """A lease, None where nobody has taken it yet."""
        found = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        return self._api.read({**found, "metadata": {"name": name, "namespace": namespace}})

    def write_lease(self, lease: Manifest) -> Manifest:
        """Take or renew it. Refused with 409 where somebody else was faster."""
        where = client.collection("coordination.k8s.io/v1", "Lease", lease["metadata"]["namespace"])
        if "resourceVersion" not in lease["metadata"]:
            return self._api.ask("POST", where, body=lease, content=client.JSON)
        return self._api.ask("PUT", f"{where}/{lease['metadata']['name']}", body=lease, content=client.JSON)
