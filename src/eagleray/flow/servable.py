"""What could not be served here? Found out without loading anything that answers."""

from __future__ import annotations

import ray

from eagleray.errors import UserError
from eagleray.serving import follow, tls
from eagleray.serving.auth import authority
from eagleray.spec.serving import ServingSpec
from eagleray.store.objects import open_storage
from eagleray.train import cluster
from eagleray.train.resources import this_machine

AHEAD = ("eagleray.serving.auth", "fastapi", "pandas", "uvicorn")
"""What can be imported while Ray starts: most of what Ray Serve imports, without Ray's own."""


def check(spec: ServingSpec, storage: str) -> None:
    """Raise UserError for what could not be served, before anything is started."""
    objects = open_storage(storage, must_exist=True)
    follow.check_aliases(objects, spec.models)
    follow.at_start(objects, spec.models)
    authority(spec.endpoint.auth, objects)
    if spec.endpoint.tls is not None:
        tls.check(spec.endpoint.tls)
    replicas, machine = spec.endpoint.replicas, this_machine()
    if ray.is_initialized():
        machine = cluster.resources()
    if replicas.min * replicas.cpus > machine.num_cpus or replicas.min * replicas.gpus > machine.num_gpus:
        raise UserError(
            f"endpoint.replicas: {replicas.min} of {replicas.cpus:g} CPUs and {replicas.gpus:g} GPUs do not fit in "
            f"{machine}: lower replicas.min, or what each takes"
        )
