"""How does the data of a document become tokenised splits? They are built once, and from then on only opened."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from pydantic_core import to_jsonable_python

from eagleray.data import encoder, entry
from eagleray.data.augment import steps as augmentation
from eagleray.data.build import build, fractions, named_sources
from eagleray.data.checks import DataReport
from eagleray.data.digests import Digests
from eagleray.data.encoder import Encoder
from eagleray.data.sources import source_fingerprint
from eagleray.data.tokenized import Split
from eagleray.data.training import Progress
from eagleray.errors import StorageError
from eagleray.spec.data import DataSpec, resources, with_resources
from eagleray.spec.task.content import RowContent
from eagleray.store import cache, refusals

WAIT_S = 5.0
"""How often a process that waits for another's preparation says so."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The data of a run, ready to be batched."""

    train: Split
    validation: Split
    test: Split | None
    labels: tuple[str, ...]
    languages: tuple[str, ...]  # that the samples' numbers stand for; () where they are not known
    report: DataReport
    fingerprint: str  # sha256 of the rows and of how they are split; tokenizer and task have no part in it
    from_cache: bool

    @property
    def label_counts(self) -> dict[str, int]:
        """How many rows of an epoch of training have each label."""
        return self.report.splits[0].label_counts


def prepare(
    spec: DataSpec,
    *,
    task: Encoder,
    tokenizer: Any,
    tokenizer_fingerprint: str,
    seed: int,
    cache_dir: Path,
    content: RowContent,
    on_progress: Progress | None = None,
) -> Prepared:
    """Return the splits of a document, from the cache where they are there.

    Processes that ask for the same data at once wait for the first of them. `seed` draws the splits that are fractions,
    and all else that is drawn. `content` says what the steps of `spec` may do with a row of the task.

    Raises:
        DataError: the data cannot be used; names every place and what to do.
        StorageError: the cache cannot be written.
    """
    progress = on_progress or _silent
    with _writes_to(cache_dir):
        entries = cache.folder("data", root=cache_dir)
        digests = Digests(entries / "digests.json", on_progress=progress)
        fingerprint = _fingerprint(spec, seed=seed, digests=digests, files=content.files)
        key = sha256(entry.FORMAT, fingerprint, tokenizer_fingerprint, encoder.fingerprint(task), spec.max_length)
        directory = entries / key[:32]
        found = entry.find(directory)
        if found is not None:
            return _opened(directory, found, from_cache=True)
        with _only_process(directory, on_progress=progress):
            found = entry.find(directory)  # made by the process that this one waited for
            if found is not None:
                return _opened(directory, found, from_cache=True)
            try:
                built = build(
                    entry.begin(directory),
                    spec=spec,
                    task=task,
                    content=content,
                    tokenizer=tokenizer,
                    seed=seed,
                    on_progress=progress,
                )
                made = entry.publish(
                    directory,
                    fingerprint=fingerprint,
                    labels=built.labels,
                    languages=built.languages,
                    splits=built.splits,
                    report=built.report,
                )
            finally:
                entry.abandon(directory)
        return _opened(directory, made, from_cache=False)


def fingerprint(spec: DataSpec, *, seed: int, cache_dir: Path, content: RowContent) -> str:
    """What `Prepared.fingerprint` of a document would be, without preparing anything.

    Raises:
        DataError: there are no such data.
        StorageError: the cache, which remembers what large files hold, cannot be written.
    """
    with _writes_to(cache_dir):
        digests = Digests(cache.folder("data", root=cache_dir) / "digests.json")
        return _fingerprint(spec, seed=seed, digests=digests, files=content.files)


def sha256(*facts: Any) -> str:
    """Return a hash of plain values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fingerprint(spec: DataSpec, *, seed: int, digests: Digests, files: tuple[str, ...]) -> str:
    """The content of the sources, and of the files their rows name, and what is done to it before tokenising."""
    sources = {
        name: source_fingerprint(source, split=name, digests=digests, columns=files)
        for name, source in named_sources(spec).items()
    }
    shares = fractions(spec)
    keep = {column: sorted(values) for column, values in spec.keep.items()}
    steps = _steps(spec, digests=digests)
    if not steps:
        return sha256(sources, keep, shares, seed if shares else None)
    draws = shares or spec.few_shot or spec.balance or spec.augment
    return sha256(sources, keep, shares, seed if draws else None, steps)


def _steps(spec: DataSpec, *, digests: Digests) -> dict[str, Any]:
    """What is done to rows, chosen among them and made of them, with what it is done; {} where there is nothing."""
    plain = DataSpec(train=spec.train)
    # Where a resource lies does not matter, what it holds does: a job of a cluster unpacks it anew each time.
    spec = with_resources(given := spec, dict.fromkeys(resources(spec), "-"))
    keys = ("language", "train_languages", "clean", "few_shot", "balance", "augment")
    steps = {key: value for key in keys if (value := getattr(spec, key)) != getattr(plain, key)}
    facts: dict[str, Any] = to_jsonable_python(steps)
    if spec.clean.languages:
        facts["py3langid"] = importlib.metadata.version("py3langid")
    if given.augment is not None:
        read = augmentation.resources(given.augment)
        facts["resources"] = [file if isinstance(file, str) else digests.of(file) for file in read]
    return facts


def _opened(directory: Path, manifest: entry.Manifest, *, from_cache: bool) -> Prepared:
    splits = entry.open_splits(directory, manifest)
    return Prepared(
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        labels=manifest.labels,
        languages=manifest.languages,
        report=manifest.report,
        fingerprint=manifest.fingerprint,
        from_cache=from_cache,
    )


@contextmanager
def _only_process(directory: Path, *, on_progress: Progress) -> Iterator[None]:
    """Hold the lock of an entry. The system frees it when its holder is killed."""
    lock = filelock.FileLock(directory.with_name(f"{directory.name}.lock"))
    waited_s = 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=WAIT_S)
        except filelock.Timeout:
            waited_s += WAIT_S
            on_progress("waiting for another process that prepares the same data (s)", int(waited_s))
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writes_to(cache_dir: Path) -> Iterator[None]:
    """Say what an error of the file system means here. Sources that cannot be read are DataErrors before it."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the data cache {cache_dir} cannot be written: {refusals.explain(error)}; "
            "EAGLERAY_CACHE names another directory"
        ) from error


def _silent(stage: str, count: int) -> None:
    """Tell no one."""
