"""What is the RayService of an endpoint: its pods, and the application that Ray Serve runs there?"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from eagleray.kube import pods, raycluster, volumes, yaml_text
from eagleray.kube.raycluster import Size
from eagleray.kube.target import GROUP, Manifest, Target
from eagleray.kube.upgrade import Upgrade
from eagleray.spec.serving import ServingSpec

IMPORT_PATH: Final = "eagleray.serving.app:build"
APPLICATION: Final = "eagleray"
# Of the Serve config or of nothing: an endpoint in a pod listens on every address of it, and TLS ends at the ingress.
_NOT_ARGUMENTS: Final = {"host", "port", "tls"}


def build(target: Target, spec: ServingSpec, *, storage: str, upgrade: Upgrade) -> Manifest:
    """The RayService. It names aliases, never versions: a promotion changes nothing here."""
    found = size(target, spec)
    described: dict[str, Any] = {
        "upgradeStrategy": upgrade.strategy,
        # No replica is there. Where there may be no worker either, its proxy takes the request that starts one.
        "excludeHeadPodFromServeSvc": found.fewest > 0,
        "serveService": _marked_service(target),
        "serveConfigV2": yaml_text.dump(serve_config(spec, storage=storage)),
        "rayClusterConfig": raycluster.spec(
            target,
            found,
            files=None,
            leave_s=leave_s(target, spec),
            serves=True,
            needs_api=False,
            outlives_its_head=True,
        ),
    }
    words = {f"{GROUP}/upgrade": upgrade.words}
    return target.manifest("ray.io/v1", "RayService", target.name, annotations=words, spec=described)


def service(target: Target) -> str:
    """The Service that KubeRay makes before the pods that answer."""
    return f"{target.name}-serve-svc"


def _marked_service(target: Target) -> dict[str, Any]:
    """KubeRay's own Service, with the annotation by which a Prometheus without its operator finds it."""
    return {
        "metadata": {"name": service(target), "annotations": {f"{GROUP}/endpoint": target.name}},
        "spec": {"ports": [{"name": "serve", "port": pods.PORTS["serve"]}]},
    }


def size(target: Target, spec: ServingSpec) -> Size:
    """Pods for the fewest replicas at the start, and up to the most where the load asks for them."""
    replicas = spec.endpoint.replicas
    per_pod = min(target.workers.per_pod, replicas.max)
    fewest, most = math.ceil(replicas.min / per_pod), math.ceil(replicas.max / per_pod)
    return Size(
        pods=fewest,
        fewest=fewest,
        most=most,
        cpus=max(1, math.ceil(per_pod * replicas.cpus)),
        gpus=math.ceil(per_pod * replicas.gpus),
        is_autoscaled=most > fewest,
    )


def leave_s(target: Target, spec: ServingSpec) -> int:
    """How long a pod may take to answer what it has begun."""
    return max(target.cluster.drain_s, math.ceil(spec.endpoint.drain_s))


def serve_config(spec: ServingSpec, *, storage: str) -> dict[str, Any]:
    """The declarative application: what the document says, each key that was written."""
    written = json.loads(spec.model_dump_json(exclude={"cluster", "storage"}, exclude_unset=True))
    endpoint = {key: value for key, value in written.pop("endpoint", {}).items() if key not in _NOT_ARGUMENTS}
    arguments = {"storage": storage, **written, "cache_dir": volumes.CACHE}
    if endpoint:
        arguments["endpoint"] = endpoint
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": pods.PORTS["serve"]},
        "applications": [{"name": APPLICATION, "route_prefix": "/", "import_path": IMPORT_PATH, "args": arguments}],
    }
