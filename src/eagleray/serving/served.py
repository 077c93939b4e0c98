"""Which version of a model answers a request, while one takes the place of another?"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from zlib import crc32

from eagleray.errors import EaglerayError
from eagleray.serving import streams
from eagleray.serving.agreement import differ
from eagleray.serving.batching import Overloaded
from eagleray.serving.follow import Desired
from eagleray.serving.problems import Mistake, Problem, ProblemError, malformed, overloaded, unavailable
from eagleray.serving.traffic import TrafficLog
from eagleray.serving.versions import Hosted

_MAX_SHADOWS = 8  # copies under way at once: what is beyond is not compared
_BUSY = 429
_LOAD_AGAIN_S = 10.0
_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_Piece = TypeVar("_Piece")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Answers, and which version gave them."""

    model: str
    version: int | None
    outputs: list[dict[str, Any]]


class Served:
    """One name that requests call: its stable version, and the candidate while there is one."""

    def __init__(
        self,
        name: str,
        desired: Desired,
        *,
        load: Callable[[int], Awaitable[Hosted]],
        encode: Callable[[Hosted, Sequence[Mapping[str, Any]]], Awaitable[list[dict[str, Any]]]],
        traffic: TrafficLog,
    ) -> None:
        self.name, self.desired = name, desired
        self._load, self._encode, self._traffic = load, encode, traffic
        self._hosted: dict[int, Hosted] = {}
        self._loading: dict[int, asyncio.Task[Hosted]] = {}
        self._leaving: set[Hosted] = set()  # wanted no more; closed after the last request that they answer
        self._uses: Counter[Hosted] = Counter()
        self._before: int | None = None  # the stable version before, while that of now is not loaded
        self._shadows: set[asyncio.Task[None]] = set()
        self._load_again_at = 0.0  # after a stable version that could not be loaded
        self.refusals: dict[int, str] = {}
        self.used_at = time.monotonic()

    @property
    def is_resident(self) -> bool:
        """Whether it is in memory, or about to be."""
        return bool(self._hosted or self._loading)

    @property
    def loaded(self) -> frozenset[int]:
        """Versions that can answer at once."""
        return frozenset(self._hosted)

    @property
    def loaded_at(self) -> int:
        """When the stable version was loaded, in seconds since 1970; 0 where it is not in memory."""
        hosted = self._hosted.get(self.desired.stable)
        return hosted.loaded_at if hosted is not None else 0

    @property
    def refusal_s(self) -> float | None:
        """When to ask again, where the stable version takes nothing now; None where it does, or is not in memory."""
        hosted = self._hosted.get(self.desired.stable)
        return None if hosted is None else hosted.refusal_s()

    async def stable(self) -> Hosted:
        """The stable version, loaded if it is not there; until a new one is loaded the one before it."""
        self.used_at = time.monotonic()
        if self.desired.stable not in self._hosted and self._before in self._hosted:
            return self._hosted[self._before]
        return await self._get(self.desired.stable)

    async def available(self) -> Hosted:
        """The stable version, for a request. Raises ProblemError where it cannot be loaded."""
        try:
            return await self.stable()
        except Exception as error:  # what somebody else made may fail to load in any way
            is_told = isinstance(error, EaglerayError)
            _log.error("%s@%d cannot be loaded: %s", self.name, self.desired.stable, error, exc_info=not is_told)
            self._load_again_at = time.monotonic() + _LOAD_AGAIN_S
            raise ProblemError(self._unavailable(_LOAD_AGAIN_S)) from error

    def check_worth_loading(self) -> None:
        """Raise ProblemError where it could not be loaded a moment ago: each try costs another model its place."""
        left_s = self._load_again_at - time.monotonic()
        if left_s > 0:
            raise ProblemError(self._unavailable(left_s))

    def follow(self, desired: Desired) -> None:
        """Take over what is wanted: load a candidate that is new, let go of versions that no one wants."""
        if desired.stable != self.desired.stable and self.desired.stable in self._hosted:
            self._before = self.desired.stable
        if desired.stable in self._hosted:
            self._before = None
        self.desired = desired
        wanted = {desired.stable} if desired.candidate is None else {desired.stable, desired.candidate}
        self._let_go(self._hosted.keys() - wanted - {self._before})
        self.refusals = {version: why for version, why in self.refusals.items() if version in wanted}
        for version in wanted if self.is_resident else ():
            if version not in self._hosted and version not in self.refusals:
                self._begin(version)

    def release(self) -> None:
        """Leave memory; the next request loads it again."""
        self._before = None
        self._let_go(set(self._hosted))

    async def predict(self, rows: Sequence[Mapping[str, Any]], *, truncate: bool, request_id: str) -> Prediction:
        """Answer rows by the version whose turn it is.

        What the candidate cannot answer the stable version does: the caller does not pay for a trial.

        Raises:
            ProblemError: the rows are not what the model reads, or too many requests wait.
        """
        stable = await self.available()
        answer = partial(self._answered, rows=rows, truncate=truncate)
        chosen = self._chosen(stable, request_id)
        if chosen is not stable:
            return await self._tried(chosen, answer)
        prediction = await answer(stable)
        self._copy(rows, prediction, truncate=truncate)
        return prediction

    async def write(
        self, begin: Callable[[Hosted], Awaitable[AsyncGenerator[_Piece, None]]], *, request_id: str
    ) -> AsyncGenerator[_Piece, None]:
        """An answer that comes in pieces, by the version whose turn it is; the first piece is there already.

        A candidate that fails before that is replaced by the stable version: `begin` is called again. The version is in
        use until the answer has ended, was closed or dropped.

        Raises:
            ProblemError: the request is not what the model reads, or too many wait.
        """
        stable = await self.available()
        answer = partial(self._begun, begin=begin)
        chosen = self._chosen(stable, request_id)
        return await (self._tried(chosen, answer) if chosen is not stable else answer(stable))

    def _unavailable(self, retry_after_s: float) -> Problem:
        return unavailable(f"the model {self.name} cannot be loaded now; the log says why", retry_after_s)

    async def _tried(self, candidate: Hosted, answer: Callable[[Hosted], Awaitable[_Answer]]) -> _Answer:
        """The candidate's answer, or that of the stable version."""
        try:
            return await answer(candidate)
        except ProblemError as refusal:
            if refusal.problem.status == _BUSY:  # the versions share their thread: the other is no less busy
                raise
            found = await answer(await self.available())
            # Nothing is wrong with the request.
            self._traffic.failed(self.name, candidate.version)
            _log.warning("%s@%d refused what is answered: %s", self.name, candidate.version, refusal)
            return found
        except Exception:  # counted where it was raised
            _log.exception("%s@%d could not answer, the stable version does", self.name, candidate.version)
        return await answer(await self.available())

    def _chosen(self, stable: Hosted, request_id: str) -> Hosted:
        candidate = self._hosted.get(self.desired.candidate or 0)
        # By the id: the same request, sent again, meets the same version.
        if candidate is None or (crc32(request_id.encode()) % 10_000) / 10_000 >= self.desired.share:
            return stable
        return candidate

    async def _answered(self, hosted: Hosted, *, rows: Sequence[Mapping[str, Any]], truncate: bool) -> Prediction:
        refusal_s = hosted.refusal_s(len(rows))
        if refusal_s is not None:  # before they are tokenised
            raise ProblemError(overloaded(refusal_s))
        with self._in_use(hosted):
            samples = await self._samples(hosted, rows)
            hosted.check_lengths(samples, truncate=truncate)
            try:
                outputs = await hosted.answer(samples)
            except Overloaded as error:
                raise ProblemError(overloaded(error.retry_after_s)) from error
        return Prediction(self.name, hosted.version, outputs)

    async def _begun(
        self, hosted: Hosted, *, begin: Callable[[Hosted], Awaitable[AsyncGenerator[_Piece, None]]]
    ) -> AsyncGenerator[_Piece, None]:
        return await streams.begun(self._written(hosted, begin))

    async def _written(
        self, hosted: Hosted, begin: Callable[[Hosted], Awaitable[AsyncGenerator[_Piece, None]]]
    ) -> AsyncGenerator[_Piece, None]:
        with self._in_use(hosted):
            async with aclosing(await begin(hosted)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _samples(self, hosted: Hosted, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        try:
            return await self._encode(hosted, rows)
        except ValueError as error:
            raise ProblemError(malformed(str(error), [Mistake("inputs", str(error))])) from error

    @contextmanager
    def _in_use(self, hosted: Hosted) -> Iterator[None]:
        """A request that a version answers: until its end the version is not closed, and then it is counted."""
        began = time.perf_counter()
        self._uses[hosted] += 1
        try:
            yield
        except ProblemError:  # the request's fault, or nobody's
            raise
        except (asyncio.CancelledError, GeneratorExit):  # nobody waited any longer: it took at least so long
            self._traffic.answered(self.name, hosted.version, seconds=time.perf_counter() - began)
            raise
        except Exception:
            self._traffic.failed(self.name, hosted.version)
            raise
        else:
            self._traffic.answered(self.name, hosted.version, seconds=time.perf_counter() - began)
        finally:
            self._uses[hosted] -= 1
            self._close_unused()

    def _let_go(self, versions: Iterable[int | None]) -> None:
        self._leaving |= {self._hosted.pop(version) for version in versions if version is not None}
        self._close_unused()

    def _close_unused(self) -> None:
        self._uses = +self._uses
        for hosted in self._leaving - self._uses.keys():
            self._leaving.discard(hosted)
            hosted.close()

    def _copy(self, rows: Sequence[Mapping[str, Any]], prediction: Prediction, *, truncate: bool) -> None:
        """Ask the candidate the same, behind the caller's back, and count where it differs."""
        candidate = self._hosted.get(self.desired.candidate or 0)
        if candidate is None or not self.desired.has_shadow or len(self._shadows) >= _MAX_SHADOWS:
            return
        task = asyncio.create_task(self._compare(candidate, rows, prediction, truncate=truncate))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _compare(
        self, candidate: Hosted, rows: Sequence[Mapping[str, Any]], prediction: Prediction, *, truncate: bool
    ) -> None:
        try:
            answered = await self._answered(candidate, rows=rows, truncate=truncate)
        except Exception as error:  # the caller has had an answer
            if isinstance(error, ProblemError) and error.problem.status != _BUSY:
                self._traffic.failed(self.name, candidate.version)  # others are counted where they are raised
            _log.warning("%s@%d could not answer a copied request: %s", self.name, candidate.version, error)
            return
        is_different = any(map(differ, prediction.outputs, answered.outputs))
        self._traffic.compared(self.name, candidate.version, is_different=is_different)

    async def _get(self, version: int) -> Hosted:
        if version in self._hosted:
            return self._hosted[version]
        return await asyncio.shield(self._begin(version))

    def _begin(self, version: int) -> asyncio.Task[Hosted]:
        """The task that loads a version; one for all who wait for it."""
        if version not in self._loading:
            task = self._loading[version] = asyncio.create_task(self._loaded(version))
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may wait for it
        return self._loading[version]

    async def _loaded(self, version: int) -> Hosted:
        try:
            hosted = await self._load(version)
            self._hosted[version] = hosted
            self.refusals.pop(version, None)
            return hosted
        except Exception as error:
            self.refusals[version] = str(error)
            raise
        finally:
            del self._loading[version]
