"""How is an endpoint on Kubernetes reached and watched from outside: ingress, gateway, Prometheus?"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from eagleray.spec.base import InWords, Spec

ObjectName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253),
    InWords('the name of a Kubernetes object: lower-case letters, digits, "-" and "."'),
]
Namespace = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63),
    InWords('the name of a namespace: at most 63 lower-case letters, digits and "-"'),
]
Host = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253),
    InWords("a host name, such as models.example.com"),
]


class IngressSpec(Spec):
    """An Ingress to the endpoint."""

    host: Host
    """The name it is called by."""
    class_name: ObjectName | None = None
    """The IngressClass. Left out: the cluster's default."""
    tls_secret: ObjectName | None = None
    """The Secret with the host's certificate. Left out: plain HTTP up to the ingress."""


class GatewaySpec(Spec):
    """A route of the Gateway API to the endpoint."""

    host: Host
    """The name it is called by."""
    name: ObjectName
    """The Gateway that the route hangs on."""
    namespace: Namespace | None = None
    """Where that Gateway is. Left out: beside the endpoint."""
    class_name: ObjectName | None = None
    """The GatewayClass with which KubeRay moves requests step by step to a new cluster. Left out: it does not."""


class MonitoringSpec(Spec):
    """What the Prometheus operator scrapes."""

    namespace: Namespace = "monitoring"
    """Where Prometheus runs."""
    labels: dict[str, str] = Field(default={})
    """Labels that your Prometheus selects monitors by, such as `{release: prometheus}`."""
    key_secret: ObjectName | None = None
    """A Secret whose key `key` is an API key with the scope `admin`, for the endpoint's own metrics.
    Left out: those of Ray alone."""
    interval_s: Annotated[int, Field(ge=1)] = 30
    """How often."""
