"""What Ray Serve runs for an endpoint: a typed application builder, `eagleray.serving.app:build`."""

# No `from __future__ import annotations`: Ray Serve makes an `Arguments` of what the config says by looking at the
# annotation of `build`, and a text is not looked up.

import json
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application, Deployment

from eagleray.serving import shortcut
from eagleray.serving.coordinator import Coordinator
from eagleray.serving.replica import Replica
from eagleray.serving.scaling import scaling
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.serving import ServingSpec
from eagleray.store.cache import cache_root

NAME = "eagleray"
"""The application."""


class Arguments(BaseModel):
    """The `args` of the application in a Serve config: the `spec` of a document of kind Endpoint."""

    model_config = ConfigDict(extra="forbid")

    storage: str
    """Where the registry is; every node must see it."""
    models: list[dict[str, Any]]
    """`name` and `model` (`NAME@ALIAS`) of each."""
    ensembles: list[dict[str, Any]] = []
    """Models that are made of others."""
    max_loaded: int = 8
    """Models in the memory of a replica at once."""
    endpoint: dict[str, Any] = {}
    """Replicas, batches, limits, auth, rollouts. Host, port and TLS are those of the Serve config."""
    cache_dir: str = ""
    """Where versions are fetched to on each node."""


def build(args: Arguments) -> Application:
    """The application: replicas that answer, and a coordinator; with vLLM its engines, and what stands before them."""
    fields = args.model_dump(exclude={"cache_dir"})
    spec = ServingSpec.model_validate_json(json.dumps(fields))
    return application(spec, storage=args.storage, cache_dir=args.cache_dir or str(cache_root()))


def application(spec: ServingSpec, *, storage: str, cache_dir: str) -> Application:
    """The same from a document's spec."""
    endpoint, text = spec.endpoint, spec.model_dump_json()
    if endpoint.backend.type == "vllm":
        from eagleray.serving import vllm  # imports torch, which who deploys needs for nothing else

        return vllm.application(spec, storage=storage, cache_dir=cache_dir)
    # A decorator for classes that are named at once; ours are plain, and are deployed here.
    leader: Deployment = serve.deployment(Coordinator)  # type: ignore[assignment]
    answering: Deployment = serve.deployment(Replica)  # type: ignore[assignment]
    coordinator = leader.options(
        name="Coordinator",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=1000,
        health_check_period_s=2,
    )
    replica = answering.options(**_options(endpoint))
    return replica.bind(text, storage, cache_dir, coordinator.bind(text, storage, cache_dir))


def _options(spec: EndpointSpec) -> dict[str, Any]:
    """Defaults that suit inference; those of Ray Serve suit nobody who answers requests."""
    replicas = spec.replicas
    most = max(spec.limits.max_queue, spec.limits.max_streams) * 2
    return {
        "ray_actor_options": {"num_cpus": replicas.cpus, "num_gpus": replicas.gpus},
        # The queue of the replica is ours: bounded in inputs, answered by 429.
        "max_ongoing_requests": most,
        "max_queued_requests": most,
        "graceful_shutdown_timeout_s": spec.drain_s,
        "graceful_shutdown_wait_loop_s": 0.2,
        "health_check_period_s": 2,
        "health_check_timeout_s": 30,
        **scaling(replicas, has_shortcut=shortcut.is_taken()),
    }
