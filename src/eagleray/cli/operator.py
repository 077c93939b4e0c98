"""`eagleray operator`: has documents in a Kubernetes cluster carried out."""

from __future__ import annotations

import logging
import os
import threading
from typing import Annotated

import typer

from eagleray.errors import UserError


def operator(
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace", "-n", metavar="NAME", help="Look after documents there. May be given several times."
        ),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Look after documents everywhere.")
    ] = False,
    health_port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Where /healthz, /readyz and /metrics answer.")
    ] = 8080,
    resync_s: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How often everything is looked at, whatever watches tell.")
    ] = 60.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
) -> None:
    """Carry out the FineTunes and Endpoints of a Kubernetes cluster with KubeRay, until it is stopped.

    It signs in as kubectl does, or as the account of its pod. Of several replicas one works, by a Lease in the
    namespace that EAGLERAY_OPERATOR_NAMESPACE names; see docs/operating.md.

    \b
    Examples:
      eagleray operator --namespace ml
      eagleray operator --all-namespaces
    """
    if bool(namespace) == all_namespaces:
        raise UserError("give --namespace, once or several times, or --all-namespaces")
    try:
        import eagleray.kube.handlers  # noqa: F401
    except ImportError as error:
        raise UserError('the operator needs its extra: pip install "eagleray[operator]"') from error
    _run(namespace or None, health_port=health_port, resync_s=resync_s, quiet=quiet)


def _run(namespaces: list[str] | None, *, health_port: int, resync_s: float, quiet: bool) -> None:
    import asyncio

    from eagleray.kube import client, handlers
    from eagleray.kube.cluster import Cluster
    from eagleray.kube.operator import Operator, own_namespace

    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    cluster = Cluster(client.connect(os.environ.get("KUBECONFIG")))
    with Operator(
        cluster, namespaces=namespaces, own_namespace=own_namespace(), health_port=health_port, resync_s=resync_s
    ) as running:
        asyncio.run(handlers.listen(running, namespaces=namespaces, stop=threading.Event()))
