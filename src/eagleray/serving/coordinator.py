"""The one place of an endpoint that decides: rollouts, rate limits, and the metrics of all replicas.

It holds no model and no request passes through it. Replicas tell it what they did and are told what to do; while it is
away they go on as they were told last. All that must outlive it is in the rollout records.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import ray

from eagleray.errors import EaglerayError, StorageError
from eagleray.serving import follow, rollout, telemetry
from eagleray.serving.beats import Beat
from eagleray.serving.follow import Desired
from eagleray.serving.limits import Ledger
from eagleray.serving.rollout import Observed, Traffic
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.serving import ServingSpec
from eagleray.store import registry, rollouts
from eagleray.store.objects import open_storage
from eagleray.store.references import Reference
from eagleray.store.rollouts import HeardRecord, RolloutRecord

LOOK_S = 1.0
"""How often the aliases are looked at."""
SILENT_S = 5.0
"""A replica that said nothing for longer does not count."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Replica:
    beat: Beat
    at: float


@dataclass(slots=True)
class _Watch:
    """What was seen of one model since its candidate began."""

    record: RolloutRecord
    proof: asyncio.Task[tuple[str, ...]] | None = None
    traffic: dict[int, Traffic] = field(default_factory=dict)


class Coordinator:
    """Follows the aliases of the models and leads their rollouts."""

    def __init__(self, spec_json: str, storage: str, cache_dir: str) -> None:
        """`spec_json`: a ServingSpec."""
        spec = ServingSpec.model_validate_json(spec_json)
        self._spec, self._endpoint = spec, spec.endpoint
        self._objects, self._cache_dir = open_storage(storage, must_exist=True), cache_dir
        self._followed = follow.followed(spec.models)
        self._storage = storage
        self._replicas: dict[str, _Replica] = {}
        self._ledger = Ledger()
        self._told: dict[str, HeardRecord] = {}
        self._watches = {
            name: _Watch(follow.record_of(self._objects, reference)) for name, reference in self._followed.items()
        }
        self._leading = asyncio.get_running_loop().create_task(self._lead())

    async def beat(self, beat: Beat) -> dict[str, Desired]:
        """Learn what a replica did; returns what it shall do, for the models whose alias is followed."""
        self._replicas[beat.replica] = _Replica(beat, time.monotonic())
        for (name, version), traffic in beat.traffic.items():
            watch = self._watches.get(name)
            if watch is not None:
                watch.traffic[version] = watch.traffic.get(version, Traffic()) + traffic
        return {name: follow.desired(watch.record) for name, watch in self._watches.items()}

    async def lease(self, name: str, rate: float, wanted: int) -> int:
        """Tokens of a key for a replica."""
        return self._ledger.take(name, rate, wanted)

    async def metrics(self) -> str:
        """What all replicas did, for Prometheus."""
        beats = self._live()
        return telemetry.merged((beat.metrics for beat in beats), num_replicas=len(beats))

    async def check_health(self) -> None:
        """Raise where the rollouts are led no longer: Ray Serve starts another coordinator."""
        if self._leading.done():
            self._leading.result()

    async def _lead(self) -> None:
        while True:
            for name in self._watches:
                try:
                    await self._advance(name)
                    await self._tell(name)
                except StorageError as error:  # looked at again in a second
                    _log.warning("%s: %s", name, error)
            await asyncio.sleep(LOOK_S)

    async def _tell(self, name: str) -> None:
        """Write down that the endpoint lives, and at once what has changed: for who sees the storage alone."""
        reference, beats = self._followed[name], self._live()
        assert reference.alias is not None
        loaded = Counter(version for beat in beats for version in beat.loaded.get(name, ()))
        heard = HeardRecord(at=datetime.now(UTC), num_replicas=len(beats), loaded=dict(loaded))
        if not rollouts.is_due(heard, self._told.get(name)):
            return
        await asyncio.to_thread(rollouts.tell, self._objects, reference.name, reference.alias, heard)
        self._told[name] = heard

    async def _advance(self, name: str) -> None:
        watch, reference = self._watches[name], self._followed[name]
        change = await asyncio.to_thread(follow.alias_of, self._objects, reference)
        record = watch.record
        is_refused = record.phase == "rolled-back" and change.number == record.facts["change"]
        if is_refused and change.version != record.stable:
            # Each time it is so, and not once: a coordinator may have died between the two writes.
            await asyncio.to_thread(self._take_back, reference, record, change)
            return
        if record.phase == "proving" and record.candidate is not None and watch.proof is None:
            watch.proof = asyncio.create_task(self._proven(record.name, record.candidate))
        observed = self._observed(name, watch)
        following = rollout.advance(record, change, observed, spec=self._endpoint.rollout, now=datetime.now(UTC))
        if following is None:
            return
        if not await asyncio.to_thread(rollouts.write, self._objects, following):
            # Another cluster that serves the same alias was faster.
            following = await asyncio.to_thread(follow.record_of, self._objects, reference)
        self._turn(name, watch, following)

    def _turn(self, name: str, watch: _Watch, following: RolloutRecord) -> None:
        """Go by a new record."""
        _log.info("%s: %s, version %d: %s", name, following.phase, following.stable, following.reason)
        if following.candidate != watch.record.candidate:
            watch.proof = None
        # Each step is judged by what it did itself; the version before by all that it did.
        watch.traffic = {version: seen for version, seen in watch.traffic.items() if version == following.stable}
        watch.record = following

    def _take_back(self, reference: Reference, record: RolloutRecord, change: registry.AliasChange) -> None:
        """Let the alias say what is served: nobody must take a refused version for the champion."""
        assert reference.alias is not None
        try:
            moved = registry.point(
                self._objects,
                reference.name,
                reference.alias,
                record.stable,
                action="rollback",
                by="the endpoint",
                reason=record.reason,
                seen=change.number,
                now=datetime.now(UTC),
            )
        except EaglerayError as error:  # somebody has moved it meanwhile: that is what the next look goes by
            _log.warning("%s@%s stays as it is: %s", reference.name, reference.alias, error)
            return
        _log.warning("%s@%s is version %d again: %s", reference.name, reference.alias, moved.version, record.reason)

    def _observed(self, name: str, watch: _Watch) -> Observed:
        beats = self._live()
        resident = [beat.loaded[name] for beat in beats if name in beat.loaded]
        # Where no replica has the model in memory, the next that is asked for it loads what holds then.
        loaded = frozenset.intersection(*resident) if resident else frozenset({watch.record.candidate or 0})
        refusals: dict[int, str] = {}
        for beat in beats:
            refusals.update(beat.refusals.get(name, {}))
        proof = watch.proof.result() if watch.proof is not None and watch.proof.done() else None
        return Observed(proof=proof, loaded=loaded, refusals=refusals, traffic=watch.traffic)

    async def _proven(self, name: str, version: int) -> tuple[str, ...]:
        """What speaks against a version, found in a process of its own: what kills that harms nobody."""
        try:
            async with asyncio.timeout(rollout.LOADING_S):
                return tuple(
                    await _prove.remote(self._storage, name, version, self._endpoint.model_dump_json(), self._cache_dir)
                )
        except TimeoutError:
            return (f"it could not be tried within {rollout.LOADING_S:.0f} s",)
        except Exception as error:  # whatever killed it speaks against the version
            return (f"the process that tried it died: {str(error).splitlines()[-1]}",)

    def _live(self) -> list[Beat]:
        now = time.monotonic()
        self._replicas = {name: each for name, each in self._replicas.items() if now - each.at < SILENT_S}
        return [each.beat for each in self._replicas.values()]


@ray.remote(num_cpus=0, max_retries=0, max_calls=1)
def _prove(storage: str, name: str, version: int, endpoint_json: str, cache_dir: str) -> list[str]:
    from eagleray.serving import versions  # imports all that runs a model: the coordinator itself needs none of it

    objects, spec = open_storage(storage, must_exist=True), EndpointSpec.model_validate_json(endpoint_json)
    try:
        directory = versions.fetched(objects, name, version, cache_dir=Path(cache_dir))
        versions.prove(objects, registry.read(objects, name, version), directory, spec)
    except Exception as error:  # loading what somebody else made may fail in any way
        return [str(error) or type(error).__name__]
    return []
