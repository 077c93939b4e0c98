"""The driver of a run: checks, prepares, starts workers until the run has ended, and says how it ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from eagleray.spec.finetune import FineTune
from eagleray.store import events, paths, runs
from eagleray.store.objects import Objects
from eagleray.store.runs import ForkRecord, LockRecord, RunRecord
from eagleray.train import ground, resumption
from eagleray.train.assembly import Job
from eagleray.train.driver import Driver
from eagleray.train.observer import Observer
from eagleray.train.ray_environment import is_embedded
from eagleray.train.resources import worker_shape
from eagleray.train.resumption import Fork, GoOn, New


def fine_tune(
    document: FineTune,
    *,
    text: str,
    storage: str,
    cache_dir: Path,
    observer: Observer,
    forks: bool = False,
    begins_anew: bool = False,
) -> RunRecord:
    """Run a document to its end and return the run's record.

    Goes on with the newest run of the document's name where that has not succeeded; `forks` makes a new run that begins
    with its newest checkpoint, `begins_anew` one from the start. Nothing is written to the storage before the data, the
    cluster and the storage itself have been found good.

    Raises:
        UserError: the document, the data or the scale cannot work as they are.
        Interrupted: a signal came; what was done is saved.
        ClusterError, StorageError, TrainingError: what went wrong, with what to do about it.
    """
    with ground.opened(document, storage=storage, observer=observer) as opened:
        objects = opened.objects
        shape = worker_shape(document.spec.scale, embedded=is_embedded())
        earlier = None
        if forks:
            earlier = opened.newest(kind="FineTune")
        elif not begins_anew:
            earlier = opened.take_newest(kind="FineTune")
        ready = opened.make_ready(shape, cache_dir=cache_dir)
        decision = resumption.decide(earlier, ready.basis, wants_fork=forks, wants_new=begins_anew)
        record = _begin(objects, decision, document, text, ready.lock)
        objects.put(paths.data_report(record.run), ready.inputs.data.report.model_dump_json(indent=2).encode())
        held = opened.hold(record.run)
        observer.created(record)
        job = Job(
            document=document.model_dump_json(),
            storage=storage,
            run=record.run,
            cache_dir=str(cache_dir),
            lease=held.number,
            fork=record.forked_from,
        )
        return Driver(objects, document, job, shape, renewal=held, observer=observer).drive()


def _begin(
    objects: Objects, decision: New | GoOn | Fork, document: FineTune, text: str, locked: LockRecord
) -> RunRecord:
    """Return the record of the run that the decision means; a new one is created."""
    if isinstance(decision, GoOn):
        changed = {change.path: [change.stored, change.wanted] for change in decision.changed}
        events.append(objects, decision.run.run, kind="continued", now=_now(), changed=changed)
        return decision.run
    forked_from = None
    if isinstance(decision, Fork):
        forked_from = ForkRecord(
            run=decision.source.run, step=decision.checkpoint.step, keeps_position=decision.keeps_position
        )
    return runs.create(
        objects, name=document.metadata.name, document=text, lock=locked, now=_now(), forked_from=forked_from
    )


def _now() -> datetime:
    return datetime.now(UTC)
