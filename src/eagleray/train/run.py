"""The driver of a run: checks, prepares, starts workers until the run has ended, and says how it ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from eagleray.errors import Interrupted
from eagleray.spec.finetune import FineTune
from eagleray.store import events, lease, runs
from eagleray.store.lease import Renewal
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ForkRecord, LockRecord, RunRecord
from eagleray.train import cluster, inputs, lock, nodes, preflight, resumption
from eagleray.train.assembly import Job
from eagleray.train.driver import Driver, Observer
from eagleray.train.ray_environment import is_embedded
from eagleray.train.resumption import Basis, Fork, GoOn, New


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
    objects = open_storage(storage)
    preflight.check(document.spec, objects)
    if objects.local_path is not None and nodes.goes_with_job(objects.local_path):
        observer.warn(nodes.GOES_WITH_JOB.format(storage=objects.local_path))
    scale = document.spec.scale
    embedded = is_embedded()
    shape = cluster.worker_shape(scale, embedded=embedded)
    with ExitStack() as stack, interrupts():
        earlier = (
            None if begins_anew and not forks else resumption.find(objects, document.metadata.name, kind="FineTune")
        )
        held = None
        if earlier is not None and earlier.run.phase != "succeeded" and not forks:
            held = take(objects, earlier.run.run, stack, observer)
        preparation = prepare(document, cache_dir, observer)
        observer.say("starting Ray on this machine" if embedded else "connecting to the Ray cluster")
        resources = stack.enter_context(cluster.connected())
        cluster.check_fits(scale, shape, resources, where="this machine" if embedded else "the cluster")
        nodes.check_all_see(document.spec, objects, num_nodes=resources.num_nodes)
        loaded = preparation.result()
        observer.data(loaded.data.report)
        locked = lock.of_run(document, loaded, resources)
        wanted = Basis(document, locked.data_fingerprint, locked.model_sha256, loaded.task.labels)
        decision = resumption.decide(earlier, wanted, wants_fork=forks, wants_new=begins_anew)
        record = _begin(objects, decision, document, text, locked)
        if held is None or not isinstance(decision, GoOn):
            held = take(objects, record.run, stack, observer)
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


def take(objects: Objects, run: str, stack: ExitStack, observer: Observer) -> Renewal:
    """Take the run's lease and keep it until `stack` is closed. Raises LeaseHeld."""
    taken = lease.take(objects, run, lease.this_process(), now=_now, on_wait=observer.say)
    return stack.enter_context(lease.renewed(objects, run, taken, on_trouble=observer.warn))


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


def prepare(document: FineTune, cache_dir: Path, observer: Observer) -> Future[inputs.Inputs]:
    """Prepare the data beside the start of Ray, which mostly waits.

    In a daemon thread: an error of the cluster, or an interrupt, is not held up by a million rows.
    """
    preparation: Future[inputs.Inputs] = Future()

    def prepare() -> None:
        try:
            preparation.set_result(inputs.load(document.spec, cache_dir=cache_dir, on_progress=observer.preparing))
        except BaseException as error:
            preparation.set_exception(error)

    threading.Thread(target=prepare, name="prepare", daemon=True).start()
    return preparation


@contextmanager
def interrupts() -> Iterator[None]:
    """Let SIGTERM before and between attempts, which Ray turns into SystemExit, be what it is."""
    try:
        yield
    except SystemExit as error:
        raise Interrupted("stopped by SIGTERM", exit_code=143) from error


def _now() -> datetime:
    return datetime.now(UTC)
