"""The only door to the Kubernetes API server: read an object, and ask what applying one would do."""

from __future__ import annotations

import json
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from eagleray.errors import ClusterError, UserError
from eagleray.kube.target import Manifest

FIELD_MANAGER: Final = "eagleray"
"""Whose the fields are that are applied."""

TIMEOUT_S: Final = 30.0

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
"""Every kind that is made, as it stands in a path."""

_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Transport(Protocol):
    """What carries a request there: the client of the package `kubernetes`, signed in."""

    def param_serialize(self, *args: Any, **kwargs: Any) -> Any: ...
    def call_api(self, *args: Any, **kwargs: Any) -> Any: ...


class Refused(ClusterError):
    """The API server does not want it."""

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class Api:
    """A cluster's API server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(self, manifest: Manifest) -> Manifest | None:
        """Return the object as it is there, None where it is not."""
        try:
            return self._ask("GET", path(manifest))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def applied(self, manifest: Manifest) -> Manifest:
        """Return the object as it would be if it were applied. Nothing is changed. Raises Refused."""
        # `force`: what somebody else has set is taken over, as applying would.
        asked = {"dryRun": "All", "fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        return self._ask("PATCH", f"{path(manifest)}?{urlencode(asked)}", body=manifest)

    def refusal(self, manifest: Manifest) -> str | None:
        """Return why the server would not take the object, None where it would."""
        try:
            self.applied(manifest)
        except Refused as refused:
            return f"{manifest['kind']}/{manifest['metadata']['name']}: {refused}"
        return None

    def crds(self) -> list[dict[str, Any]]:
        """Return the CustomResourceDefinitions of the cluster."""
        items = self._ask("GET", _CRDS)["items"]
        # In a list the server leaves out what each of its items is.
        return [{**each, "kind": "CustomResourceDefinition"} for each in items]

    def _ask(self, method: str, where: str, *, body: Manifest | None = None) -> dict[str, Any]:
        # JSON is YAML; the package would not serialise it for this content type.
        text = None if body is None else json.dumps(body)
        headers = {"Accept": "application/json"}
        if text is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"
        request = self._transport.param_serialize(
            method, where, header_params=headers, body=text, auth_settings=["BearerToken"]
        )
        try:
            response = self._transport.call_api(*request, _request_timeout=TIMEOUT_S)
            answer = json.loads(response.read() or b"{}")
        except (urllib3.exceptions.HTTPError, client.OpenApiException) as error:
            raise ClusterError(f"the Kubernetes API server does not answer: {error}") from error
        if response.status >= 400:
            raise Refused(answer.get("message") or f"{method} {where}: {response.status}", status=response.status)
        return dict(answer)


def connect() -> Api:
    """Sign in as kubectl would: KUBECONFIG, ~/.kube/config, or the account of the pod. Raises UserError."""
    settings = client.Configuration()
    try:
        config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise UserError(
                "there is no Kubernetes cluster to ask: set KUBECONFIG, or give the folder of KubeRay's CRDs by --crds"
            ) from error
    settings.retries = False
    return Api(client.ApiClient(settings))


def path(manifest: Manifest) -> str:
    """Return where the API server has an object."""
    version, metadata = manifest["apiVersion"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{metadata['namespace']}/{PLURALS[manifest['kind']]}/{metadata['name']}"
