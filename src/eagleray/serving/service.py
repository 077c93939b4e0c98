"""All that one replica answers with, without HTTP and without Ray: models by name, ensembles, what they did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from eagleray.errors import UserError
from eagleray.serving import combine
from eagleray.serving.beats import Beat
from eagleray.serving.follow import Desired
from eagleray.serving.problems import ProblemError, malformed, unknown_model
from eagleray.serving.served import Prediction, Served
from eagleray.serving.telemetry import Telemetry
from eagleray.serving.traffic import TrafficLog
from eagleray.serving.versions import Hosted, Threads, Versions
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.serving import EnsembleSpec
from eagleray.store.objects import Objects

_Piece = TypeVar("_Piece")


class Service:
    """Models that answer. Belongs to one event loop; `start` it before use."""

    def __init__(
        self,
        objects: Objects,
        spec: EndpointSpec,
        desired: Mapping[str, Desired],
        *,
        registered: Mapping[str, str],
        ensembles: Sequence[EnsembleSpec] = (),
        max_loaded: int,
        cache_dir: Path,
        replica: str,
    ) -> None:
        """`desired` and `registered` (the name in the registry) by the name that requests say."""
        self.telemetry = Telemetry(replica)
        self.spec = spec
        self._replica, self._max_loaded = replica, max_loaded
        self._threads = Threads(*(ThreadPoolExecutor(1, name) for name in ("model", "loader", "tokenizer")))
        self._traffic = TrafficLog()
        versions = Versions(
            objects,
            spec,
            cache_dir=cache_dir,
            threads=self._threads,
            telemetry=self.telemetry,
            shares_bases=len(desired) > 1,  # one alone answers faster as one model
        )
        self._served = {
            name: Served(
                name,
                each,
                load=_loader(versions, registered[name]),
                encode=self._encode,
                traffic=self._traffic,
            )
            for name, each in desired.items()
        }
        self._ensembles = {ensemble.name: ensemble for ensemble in ensembles}

    @property
    def names(self) -> list[str]:
        """What requests may say as `model`; the first answers those that say nothing."""
        return [*self._served, *self._ensembles]

    async def start(self) -> None:
        """Load what fits.

        Raises:
            EaglerayError: a stable version cannot answer.
            UserError: the members of an ensemble cannot answer as one.
        """
        for served in list(self._served.values())[: self._max_loaded]:
            await served.stable()
        for ensemble in self._ensembles.values():
            models = {member.name: (await self._served[member.name].stable()).loaded for member in ensemble.members}
            labels = {name: model.task.labels if model.can_be_averaged else None for name, model in models.items()}
            if None in labels.values() or len({frozenset(each or ()) for each in labels.values()}) > 1:
                told = "; ".join(f"{name}: {', '.join(each or ()) or 'none'}" for name, each in labels.items())
                raise UserError(f"ensembles.{ensemble.name}: its members must have the same labels, they have {told}")

    def refusal_s(self) -> float | None:
        """When to ask again, where none of the models takes anything now; None where one does."""
        each = [served.refusal_s for served in self._served.values()]
        known = [seconds for seconds in each if seconds is not None]
        return min(known) if len(known) == len(each) else None

    def follow(self, desired: Mapping[str, Desired]) -> None:
        """Take over what the rollout records say."""
        for name, each in desired.items():
            self._served[name].follow(each)
            self.telemetry.versions(name, stable=each.stable, candidate=each.candidate)

    def beat(self) -> Beat:
        """What happened since the last one."""
        resident = {name: served for name, served in self._served.items() if served.is_resident}
        return Beat(
            replica=self._replica,
            loaded={name: served.loaded for name, served in resident.items()},
            refusals={name: dict(served.refusals) for name, served in resident.items() if served.refusals},
            traffic=self._traffic.drain(),
            metrics=self.telemetry.text(),
        )

    def unheard(self, beat: Beat) -> None:
        """Take back what a beat counted that did not arrive."""
        self._traffic.put_back(beat.traffic)

    async def predict(
        self, name: str | None, rows: Sequence[Mapping[str, Any]], *, truncate: bool, request_id: str
    ) -> Prediction:
        """Answer rows, in their order. Raises ProblemError."""
        ensemble = self._ensembles.get(name or "")
        if ensemble is None:
            served = await self._resident(name)
            return await served.predict(rows, truncate=truncate, request_id=request_id)
        members = await asyncio.gather(
            *(self.predict(member.name, rows, truncate=truncate, request_id=request_id) for member in ensemble.members)
        )
        weights = [member.weight for member in ensemble.members]
        by_row = zip(*(member.outputs for member in members), strict=True)
        outputs = [combine.combined(answers, weights, how=ensemble.combine) for answers in by_row]
        return Prediction(ensemble.name, None, outputs)

    async def write(
        self, name: str, begin: Callable[[Hosted], Awaitable[AsyncGenerator[_Piece, None]]], *, request_id: str
    ) -> AsyncGenerator[_Piece, None]:
        """An answer in pieces, by a version that `begin` is called with (see `Served.write`). Raises ProblemError."""
        if name in self._ensembles:
            raise ProblemError(malformed(f"model {name!r} is an ensemble: use /v1/predict", status=400))
        return await (await self._resident(name)).write(begin, request_id=request_id)

    def desired(self) -> dict[str, Desired]:
        """What is followed now, by name."""
        return {name: served.desired for name, served in self._served.items()}

    def loaded_at(self, name: str) -> int:
        """When a model's stable version was loaded, in seconds since 1970; 0 where it is not in memory."""
        served = self._served.get(name)
        return served.loaded_at if served is not None else 0

    def close(self) -> None:
        """Let go of models and threads."""
        for served in self._served.values():
            served.release()
        for threads in (self._threads.model, self._threads.loader, self._threads.tokenizer):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _resident(self, name: str | None) -> Served:
        """The model of that name; it may now be loaded, so another one may have to go."""
        wanted = next(iter(self._served)) if name is None else name
        served = self._served.get(wanted)
        if served is None:
            raise ProblemError(unknown_model(wanted, self.names))
        if not served.is_resident:
            served.check_worth_loading()
            self._make_room()
        return served

    def _make_room(self) -> None:
        there = sorted((each for each in self._served.values() if each.loaded), key=lambda each: each.used_at)
        for served in there[: max(0, len(there) + 1 - self._max_loaded)]:
            served.release()

    async def _encode(self, hosted: Hosted, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads.tokenizer, hosted.loaded.encode, rows)


def _loader(versions: Versions, registered: str) -> Any:
    return lambda version: versions.load(registered, version)
