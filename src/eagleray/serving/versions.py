"""Which versions of registered models are in this process' memory?

A version is fetched from the registry once a machine, loaded by a thread of its own, warmed and asked its golden set
before it answers anybody; what was loaded before goes on answering meanwhile, whatever becomes of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eagleray.errors import EaglerayError, ModelSourceError, UserError
from eagleray.model.bases import Bases
from eagleray.serving import loaded as loading
from eagleray.serving.batching import Batcher
from eagleray.serving.continuation import GenerationRequest
from eagleray.serving.generation import Generator
from eagleray.serving.loaded import Loaded
from eagleray.serving.problems import ProblemError, malformed, too_long
from eagleray.serving.telemetry import Telemetry
from eagleray.serving.text_rows import TooLong
from eagleray.spec.endpoint import EndpointSpec
from eagleray.store import cache, registry
from eagleray.store.objects import Objects
from eagleray.tasks import chat_template

SHOWN_DIFFERENCES = 3
DRAIN_S = 120.0
"""How long a language model that nobody asks any more goes on with texts that it has begun."""


class Hosted:
    """One version in memory, ready to answer."""

    def __init__(self, loaded: Loaded, *, version: int, batcher: Batcher | None, generator: Generator | None) -> None:
        self.loaded, self.version = loaded, version
        self.loaded_at = int(time.time())
        self._batcher, self.generator = batcher, generator

    async def answer(self, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer a sample, in their order. Raises Overloaded."""
        if self._batcher is not None:
            return await self._batcher.submit(samples)
        return list(await asyncio.gather(*(self._continue(sample) for sample in samples)))

    def refusal_s(self, num_inputs: int = 1) -> float | None:
        """When to ask again, where so many inputs would have to wait too long; None where they are taken."""
        return None if self._batcher is None else self._batcher.refusal_s(num_inputs)

    def check_lengths(self, samples: Sequence[Mapping[str, Any]], *, truncate: bool) -> None:
        """Raise ProblemError for a sample that had to be cut, unless it may be."""
        limit = self.loaded.max_length
        for sample in samples:
            if sample["full_length"] > limit and not truncate:
                raise ProblemError(too_long(sample["full_length"], limit))

    def close(self) -> None:
        """Let go of the threads. Texts that are being continued are finished first, in `DRAIN_S` at most."""
        if self.generator is not None:
            threading.Thread(target=_drain, args=(self.generator,), name="drain", daemon=True).start()

    async def _continue(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        assert self.generator is not None
        request = GenerationRequest(
            input_ids=tuple(sample["input_ids"]), max_new_tokens=self.loaded.max_new_tokens, temperature=0.0
        )
        try:
            stream = self.generator.submit(request)
        except TooLong as error:
            raise ProblemError(too_long(error.num_tokens, error.limit)) from error
        except UserError as error:
            raise ProblemError(malformed(str(error))) from error
        return {"text": "".join([piece.text async for piece in stream])}


def _drain(generator: Generator) -> None:
    deadline = time.monotonic() + DRAIN_S
    while generator.num_streams and time.monotonic() < deadline:
        time.sleep(0.1)
    generator.close()


@dataclass(frozen=True, slots=True)
class Threads:
    """One thread for models, so that they do not take each other's cores; one to load; one to tokenise."""

    model: ThreadPoolExecutor
    loader: ThreadPoolExecutor
    tokenizer: ThreadPoolExecutor


class Versions:
    """Loads versions and lets them go."""

    def __init__(
        self,
        objects: Objects,
        spec: EndpointSpec,
        *,
        cache_dir: Path,
        threads: Threads,
        telemetry: Telemetry,
        shares_bases: bool,
    ) -> None:
        """`shares_bases`: adapters stay apart from their base, so that several hold it in memory once."""
        self._bases = Bases() if shares_bases else None
        self._objects, self._spec, self._cache_dir = objects, spec, cache_dir
        self._threads, self._telemetry = threads, telemetry

    async def load(self, name: str, version: int) -> Hosted:
        """The version, ready to answer.

        Raises:
            EaglerayError: it cannot be loaded, or its golden answers are wrong.
        """
        loop = asyncio.get_running_loop()
        loaded = await loop.run_in_executor(self._threads.loader, self._load, name, version)
        if loaded.generates:
            return Hosted(loaded, version=version, batcher=None, generator=self._generator(name, loaded))
        batch = self._spec.batch
        batcher = Batcher(
            loaded.answer,
            executor=self._threads.model,
            max_size=batch.max_size,
            max_tokens=batch.max_tokens,
            max_padding=batch.max_padding,
            max_wait_s=batch.max_wait_ms / 1000,
            max_queue=self._spec.limits.max_queue,
            max_queue_s=self._spec.limits.max_queue_s,
            observe=partial(self._telemetry.batch, model=name),
        )
        return Hosted(loaded, version=version, batcher=batcher, generator=None)

    def _generator(self, name: str, loaded: Loaded) -> Generator:
        trained = loaded.trained
        ends = chat_template.end_ids(trained.tokenizer) if loaded.is_chat else None
        return Generator(
            trained.model,
            trained.tokenizer,
            max_streams=self._spec.limits.max_streams,
            end_ids=ends,
            observe=partial(self._telemetry.generated, model=name),
        )

    def _load(self, name: str, version: int) -> Loaded:
        directory = fetched(self._objects, name, version, cache_dir=self._cache_dir)
        record = registry.read(self._objects, name, version)
        return prove(self._objects, record, directory, self._spec, bases=self._bases)


def prove(
    objects: Objects,
    record: registry.VersionRecord,
    directory: Path,
    spec: EndpointSpec,
    *,
    bases: Bases | None = None,
) -> Loaded:
    """Load a version and ask it its golden set, which warms it too.

    Raises:
        EaglerayError: it cannot be loaded, or answers otherwise than when it was registered.
    """
    num_threads = max(1, int(spec.replicas.cpus))
    found = loading.load(directory, backend=spec.backend, num_threads=num_threads, bases=bases)
    differences = found.check_golden(registry.golden(objects, record))
    if differences:
        told = "; ".join(differences[:SHOWN_DIFFERENCES])
        raise ModelSourceError(
            f"{record.name}@{record.version}: {len(differences)} of {record.num_golden} golden answers are other than "
            f"when it was registered: {told}"
        )
    return found


def fetched(objects: Objects, name: str, version: int, *, cache_dir: Path) -> Path:
    """The files of a version as an entry of this machine's cache, fetched and verified if they are not there."""
    directory = cache.folder("models", root=cache_dir) / f"{name}-{version}-{objects_key(objects)}"
    if not directory.is_dir():
        _fetch(objects, name, version, directory)
    cache.touch(directory)
    return directory


def objects_key(objects: Objects) -> str:
    """A name for a storage that a directory can have: two registries may know the same model and version."""
    return hashlib.sha256(objects.uri.encode()).hexdigest()[:16]


def _fetch(objects: Objects, name: str, version: int, directory: Path) -> None:
    """Processes of one machine may fetch at the same time: each into a folder of its own, the first one stays."""
    record = registry.read(objects, name, version)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        registry.fetch(objects, record, scratch)
        scratch.replace(directory)
    except OSError as error:
        if not directory.is_dir():
            raise EaglerayError(f"{directory}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
