"""One process that answers: the adapter between Ray Serve and a Service.

Who deploys a replica imports this module, too, and so does the controller of Ray Serve: what runs models is imported
by the replica alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from pydantic import TypeAdapter
from ray import serve
from ray.serve.handle import DeploymentHandle

from eagleray.serving import follow, shortcut
from eagleray.serving.auth import Authority, authority
from eagleray.serving.identity import identity
from eagleray.serving.limits import Allowance
from eagleray.serving.listener import Listener
from eagleray.serving.scaling import DIRECT_REQUESTS
from eagleray.spec.serving import ServingSpec
from eagleray.spec.task import TaskSpec
from eagleray.store import registry
from eagleray.store.objects import Objects, open_storage

if TYPE_CHECKING:
    from eagleray.serving.service import Service

BEAT_S = 0.5
"""How often the coordinator is asked what to do."""
BEAT_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


@serve.ingress()
class Replica:
    """Loads the stable versions before Ray Serve sends it requests, and follows the coordinator from then on."""

    # Ray Serve awaits it.
    async def __init__(  # type: ignore[misc]
        self, spec_json: str, storage: str, cache_dir: str, coordinator: DeploymentHandle[Any]
    ) -> None:
        spec = ServingSpec.model_validate_json(spec_json)
        self._spec, self._coordinator = spec, coordinator
        self._identity = identity(spec, storage=storage)
        endpoint = spec.endpoint
        objects = open_storage(storage, must_exist=True)
        self._at_start = await asyncio.to_thread(follow.at_start, objects, spec.models)
        self._tasks = await asyncio.to_thread(_tasks, objects, spec, {n: d.stable for n, d in self._at_start.items()})
        self._authority = authority(endpoint.auth, objects)
        name = serve.get_replica_context().replica_id.unique_id
        await asyncio.to_thread(_import_models, num_threads=max(1, int(endpoint.replicas.cpus)))
        from eagleray.serving.http import Runtime
        from eagleray.serving.service import Service

        self._service: Service = Service(
            objects,
            endpoint,
            self._at_start,
            registered=follow.registered_names(spec.models),
            ensembles=spec.ensembles,
            max_loaded=spec.max_loaded,
            cache_dir=Path(cache_dir),
            replica=name,
        )
        if isinstance(self._authority, Authority):
            await self._authority.refresh()
        await self._service.start()
        self._runtime = Runtime(
            service=self._service,
            authority=self._authority,
            allowance=Allowance(self._lease, max_replicas=endpoint.replicas.max),
            metrics=self._metrics,
        )
        self._listener = Listener(self._app(echo_request_id=True), shortcut.sockets() / name)
        await self._listen()
        loop = asyncio.get_running_loop()
        self._background = [loop.create_task(self._beat()), loop.create_task(self._authority.keep_fresh())]

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The routes; Ray Serve calls it once the models are loaded."""
        # The proxy of Ray Serve sends the request's id back by itself.
        return self._app(echo_request_id=False)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What Ray Serve does not know of the load; it asks once a second."""
        return {DIRECT_REQUESTS: float(self._listener.num_ongoing)}

    async def check_health(self) -> None:
        """Raise where the coordinator is followed no longer: Ray Serve starts another replica."""
        for task in self._background:
            if task.done():
                task.result()

    async def __del__(self) -> None:
        """Ray Serve ends this replica; the last request that it knows of is answered."""
        await self._listener.drain(self._spec.endpoint.drain_s)
        for task in self._background:
            task.cancel()
        self._service.close()

    def _app(self, *, echo_request_id: bool) -> FastAPI:
        from eagleray.serving import http

        return http.build(
            self._spec.endpoint,
            self._tasks,
            lambda: self._runtime,
            identity=self._identity,
            echo_request_id=echo_request_id,
        )

    async def _listen(self) -> None:
        """Be within reach of this machine's proxy."""
        if not shortcut.is_taken():
            return
        try:
            await self._listener.open()
        except OSError as error:  # such as a path that is too long for a socket
            _log.warning("requests come by Ray Serve's own way: %s", error)

    async def _beat(self) -> None:
        while True:
            beat = self._service.beat()
            try:
                async with asyncio.timeout(BEAT_TIMEOUT_S):
                    answer = await self._coordinator.beat.remote(beat)
                self._service.follow({**self._at_start, **answer})
            except Exception as error:  # the coordinator is away: what it said last counts
                self._service.unheard(beat)
                _log.warning("the coordinator does not answer: %s", error)
            await asyncio.sleep(BEAT_S)

    async def _lease(self, name: str, rate: float, wanted: int) -> int:
        granted: int = await self._coordinator.lease.remote(name, rate, wanted)
        return granted

    async def _metrics(self) -> str:
        text: str = await self._coordinator.metrics.remote()
        return text


def _import_models(*, num_threads: int) -> None:
    """Import all that a model runs in, beside the event loop; PyTorch takes no more threads than the replica has."""
    import_module("eagleray.serving.http")
    import torch

    torch.set_num_threads(num_threads)


def _tasks(objects: Objects, spec: ServingSpec, stable: dict[str, int]) -> dict[str, TaskSpec]:
    """What each name does, ensembles as their members."""
    names = follow.registered_names(spec.models)
    tasks: dict[str, TaskSpec] = {}
    for name, version in stable.items():
        document = registry.read(objects, names[name], version).document
        tasks[name] = TypeAdapter[TaskSpec](TaskSpec).validate_json(json.dumps(document["spec"]["task"]))
    for ensemble in spec.ensembles:
        tasks[ensemble.name] = tasks[ensemble.members[0].name]
    return tasks
