"""How does Prometheus get at a run while it goes on?

The process that drives it answers, of what it is told anyway: nothing else is read, and a scrape costs the workers
nothing. What is told is made at each scrape from what is known then, so no series outlives what it tells of.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Literal, TypeVar, cast

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from eagleray import tasks
from eagleray.errors import StorageError
from eagleray.monitoring import address, searching, training
from eagleray.monitoring.families import Sample
from eagleray.monitoring.searching import SweepFacts
from eagleray.monitoring.training import RunFacts
from eagleray.spec.finetune import FineTune
from eagleray.spec.monitoring import MonitoringSpec
from eagleray.store import events, runs, sweeps
from eagleray.store.events import Event
from eagleray.store.objects import Objects
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.store.sweeps import Sweep
from eagleray.train.observer import Observer

AT_END_S = 30.0
"""How long it is waited for Prometheus to see how a run has ended: two of its usual intervals. Who has not asked for
longer than that would not ask within it."""

AnyObserver = TypeVar("AnyObserver", bound=Observer)


@contextmanager
def beside(wanted: FineTune, objects: Objects, observer: AnyObserver) -> Iterator[AnyObserver]:
    """An observer of whose run Prometheus can ask this process, where the document has a section `monitoring`.

    Raises:
        UserError: it cannot listen there.
    """
    spec = wanted.spec.monitoring
    if spec is None:
        yield observer
        return
    exporter = Exporter(wanted, objects)
    with _served(spec, exporter):
        observer.say(f"metrics for Prometheus at {address.url(spec)}")
        try:
            yield cast(AnyObserver, _Watching(observer, exporter))
        finally:
            exporter.end()


class Exporter(Collector):
    """What is known of one run or sweep, and who has asked for it. Facts are replaced as a whole: any thread reads."""

    def __init__(self, wanted: FineTune, objects: Objects) -> None:
        self._wanted, self._objects = wanted, objects
        self._facts: RunFacts | SweepFacts | None = None
        self._asked_at = float("-inf")
        self._has_ended = False
        self._end_seen = threading.Event()

    def collect(self) -> Iterable[Metric]:
        """What Prometheus is told now."""
        self._asked_at, has_ended = time.monotonic(), self._has_ended  # before the facts: else the end may be missed
        yield from _families(self._samples())
        if has_ended:
            self._end_seen.set()

    def created(self, record: RunRecord) -> None:
        """The run exists. One that goes on brings what was counted before."""
        if record.kind == sweeps.KIND:
            sweep = self._wanted.spec.sweep
            planned = sweep.budget.trials if sweep else None
            self._facts = searching.begun(record, planned_trials=planned, now=time.time())
            return
        metric, mode = self._ranked_by()
        facts = training.begun(record, metric=metric, mode=mode, now=time.time())
        for event in self._earlier(record.run):
            facts = training.with_earlier(facts, event)
        self._facts = facts

    def progress(self, progress: ProgressRecord) -> None:
        """The workers have come this far."""
        if isinstance(self._facts, RunFacts):
            self._facts = training.with_progress(self._facts, progress, now=time.time())

    def event(self, event: Event) -> None:
        """Something was written to the run's events."""
        if isinstance(self._facts, RunFacts):
            self._facts = training.with_event(self._facts, event, now=time.time())

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        """The sweep has come this far."""
        if isinstance(self._facts, SweepFacts):
            self._facts = searching.with_sweep(self._facts, sweep, going, now=time.time())

    def end(self) -> None:
        """Tell how it has ended, to a Prometheus that has asked before: the process that could tell is about to go."""
        facts, phase = self._facts, self._phase()
        if facts is None or phase is None:
            return
        if isinstance(facts, RunFacts):
            self._facts = training.ended(facts, phase, now=time.time())
        else:
            self._facts = searching.ended(facts, phase)
        self._has_ended = True
        if time.monotonic() - self._asked_at < AT_END_S:
            self._end_seen.wait(AT_END_S)

    def _samples(self) -> Iterator[Sample]:
        match self._facts:
            case RunFacts() as facts:
                return training.samples(facts, now=time.time())
            case SweepFacts() as facts:
                return searching.samples(facts)
        return iter(())

    def _earlier(self, run: str) -> list[Event]:
        try:
            return events.read_events(self._objects, run)
        except StorageError:  # counts that begin anew are not worth a run
            return []

    def _ranked_by(self) -> tuple[str, Literal["max", "min"]]:
        by = self._wanted.spec.checkpoint.best_by
        return (by.metric, by.mode) if by else tasks.build(self._wanted.spec.task).main_metric

    def _phase(self) -> str | None:
        """How the record says that it has ended; None where it does not, or cannot be read."""
        if self._facts is None:
            return None
        try:
            record = runs.read(self._objects, self._facts.run)
        except StorageError:
            return None
        return record.phase if record.ended_at is not None else None


class _Watching:
    """An observer that hears what there is to tell."""

    def __init__(self, observer: Observer, exporter: Exporter) -> None:
        self._observer, self._exporter = observer, exporter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    def created(self, record: RunRecord) -> None:
        """The run exists."""
        self._exporter.created(record)
        self._observer.created(record)

    def progress(self, progress: ProgressRecord) -> None:
        """The workers have come this far."""
        self._exporter.progress(progress)
        self._observer.progress(progress)

    def event(self, event: Event) -> None:
        """Something was written to the run's events."""
        self._exporter.event(event)
        self._observer.event(event)

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        """The sweep has come this far."""
        self._exporter.sweep(sweep, going)
        self._observer.sweep(sweep, going)  # type: ignore[attr-defined]  # it is a sweep's


@contextmanager
def _served(spec: MonitoringSpec, exporter: Exporter) -> Iterator[None]:
    registry = CollectorRegistry()
    registry.register(exporter)
    try:
        server, thread = start_http_server(spec.port, addr=spec.host, registry=registry)
    except OSError as error:
        raise address.refused(spec, error) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _families(samples: Iterator[Sample]) -> Iterator[Metric]:
    # A stable sort: families in their order by name, the series of each as they were made.
    ordered = sorted(samples, key=lambda sample: sample.family.name)
    for family, those in groupby(ordered, key=lambda sample: sample.family):
        kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = kind(family.name, family.help, labels=family.labels)
        for sample in those:
            metric.add_metric(sample.labels, sample.value)
        yield metric
