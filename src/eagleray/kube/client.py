"""The only door to the Kubernetes API server: what may be asked of it, and how it refuses."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config
from kubernetes.client import rest

from eagleray.errors import ClusterError, UserError
from eagleray.kube.target import Manifest

FIELD_MANAGER: Final = "eagleray"
"""Whose the fields are that are applied."""

TIMEOUT_S: Final = 30.0

APPLY: Final = "application/apply-patch+yaml"
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"

PLURALS: Final = {
    "ConfigMap": "configmaps",
    "HTTPRoute": "httproutes",
    "Ingress": "ingresses",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PodMonitor": "podmonitors",
    "RayCluster": "rayclusters",
    "RayJob": "rayjobs",
    "RayService": "rayservices",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ServiceAccount": "serviceaccounts",
    "ServiceMonitor": "servicemonitors",
}
"""Every kind that is rendered, as it stands in a path."""

OPERATED: Final = {
    "Endpoint": "endpoints",
    "Event": "events",
    "FineTune": "finetunes",
    "Job": "jobs",
    "Lease": "leases",
    "Pod": "pods",
}
"""Those that only the operator reads or makes."""

_UNKNOWN: Final = "the cluster does not know this kind"
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Refused(ClusterError):
    """The API server does not want it."""

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        self.status, self.retry_after_s = status, retry_after_s
        super().__init__(message)


class Api:
    """A cluster's API server."""

    def __init__(self, settings: client.Configuration) -> None:
        self._settings = settings
        # Its connections alone: how a request is made changes from one version of the package to the next.
        self._connections = rest.RESTClientObject(settings).pool_manager

    def read(self, manifest: Manifest) -> Manifest | None:
        """Return the object as it is there, None where it is not."""
        try:
            return self.ask("GET", path(manifest))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def applied(self, manifest: Manifest) -> Manifest:
        """Return the object as it would be if it were applied. Nothing is changed. Raises Refused."""
        # `force`: what somebody else has set is taken over, as applying would.
        asked = {"dryRun": "All", "fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        try:
            return self.ask("PATCH", f"{path(manifest)}?{urlencode(asked)}", body=manifest)
        except Refused as refused:
            name = f"{manifest['kind']}/{manifest['metadata']['name']}"
            raise Refused(f"{name}: {_reason(refused, manifest)}", status=refused.status) from refused

    def refusal(self, manifest: Manifest) -> str | None:
        """Return why the server would not take the object, None where it would."""
        try:
            self.applied(manifest)
        except Refused as refused:
            return str(refused)
        return None

    def crds(self) -> list[dict[str, Any]]:
        """Return the CustomResourceDefinitions of the cluster."""
        items = self.ask("GET", _CRDS)["items"]
        # In a list the server leaves out what each of its items is.
        return [{**each, "kind": "CustomResourceDefinition"} for each in items]

    def ask(self, method: str, where: str, *, body: Any = None, content: str = APPLY) -> dict[str, Any]:
        """Send a request. Raises Refused, or ClusterError where there is no answer."""
        signed = {each["key"]: each["value"] for each in self._settings.auth_settings().values()}
        headers = {"Accept": "application/json", **signed}
        sent = None
        if body is not None:
            headers["Content-Type"], sent = content, json.dumps(body).encode()  # JSON is YAML, too
        try:
            response = self._connections.request(
                method, f"{self._settings.host}{where}", body=sent, headers=headers, timeout=TIMEOUT_S, retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"the Kubernetes API server does not answer: {error}") from error
        answer = _answer(response.data)
        if response.status >= 400:
            told = answer.get("message") or f"{method} {where}: {response.status}"
            wait = response.headers.get("Retry-After", "")
            raise Refused(told, status=response.status, retry_after_s=float(wait) if wait.isdecimal() else None)
        return answer


def _answer(data: bytes) -> dict[str, Any]:
    """What the server says; of what it does not know at all it says no more than a line of plain text."""
    try:
        return dict(json.loads(data or b"{}"))
    except ValueError:
        return {"message": _UNKNOWN if b"page not found" in data else data.decode("utf-8", "replace").strip()}


def _reason(refused: Refused, manifest: Manifest) -> str:
    if str(refused) != _UNKNOWN:
        return str(refused)
    version = manifest["apiVersion"]
    needed = "install KubeRay" if version.startswith("ray.io/") else "install what brings it, or leave it out"
    return f"the cluster does not know {version} {manifest['kind']}: {needed}"


def connect(kubeconfig: str | None) -> Api:
    """Sign in as kubectl would: these files, else ~/.kube/config, else the account of the pod. Raises UserError."""
    settings = client.Configuration()
    try:
        config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
    except config.ConfigException:
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException as error:
            raise UserError(
                "there is no Kubernetes cluster to ask: set KUBECONFIG; `--validate --crds DIR` needs none"
            ) from error
    return Api(settings)


def path(manifest: Manifest) -> str:
    """Return where the API server has an object."""
    metadata = manifest["metadata"]
    return f"{collection(manifest['apiVersion'], manifest['kind'], metadata['namespace'])}/{metadata['name']}"


def collection(api_version: str, kind: str, namespace: str | None) -> str:
    """Return where the API server has the objects of a kind; None for those of all namespaces."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    return f"{root}{f'/namespaces/{namespace}' if namespace else ''}/{(PLURALS | OPERATED)[kind]}"
