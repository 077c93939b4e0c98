"""What a driver stands on: storage, leases, data and cluster, each found good before anything is written or started."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from eagleray.errors import Interrupted
from eagleray.spec.finetune import FineTune
from eagleray.store import lease
from eagleray.store.objects import Objects, open_storage
from eagleray.store.renewal import Renewal, renewed
from eagleray.store.runs import LockRecord
from eagleray.train import cluster, inputs, lock, losses, nodes, preflight, prompt_source, prompt_start, resumption
from eagleray.train.changes import Basis, basis_of
from eagleray.train.inputs import Inputs
from eagleray.train.observer import Observer
from eagleray.train.ray_environment import is_embedded
from eagleray.train.resources import WorkerShape, check_fits
from eagleray.train.resumption import Earlier


@dataclass(frozen=True, slots=True)
class Ready:
    """What is there once the data is prepared and Ray answers."""

    inputs: Inputs
    lock: LockRecord
    basis: Basis


class Ground:
    """The storage, and what the driver has taken of it, until its context is left."""

    def __init__(self, objects: Objects, document: FineTune, stack: ExitStack, *, observer: Observer) -> None:
        self.objects = objects
        self._document, self._stack, self._observer = document, stack, observer
        self._held: dict[str, Renewal] = {}

    def take_newest(self, *, kind: str) -> Earlier | None:
        """The newest run of the document's name, held where it has not succeeded. Raises LeaseHeld.

        It is read once more behind its lease: whoever drove it may have ended it meanwhile.
        """
        found = self.newest(kind=kind)
        if found is None or found.run.phase == "succeeded":
            return found
        self.hold(found.run.run)
        return self.newest(kind=kind)

    def newest(self, *, kind: str) -> Earlier | None:
        """The newest run of the document's name."""
        return resumption.find(self.objects, self._document.metadata.name, kind=kind)

    def hold(self, run: str) -> Renewal:
        """Take the lease of a run, unless it was taken before, and keep it to the end. Raises LeaseHeld."""
        if run not in self._held:
            taken = lease.take(self.objects, run, lease.this_process(), now=_now, on_wait=self._observer.say)
            renewal = renewed(self.objects, run, taken, on_trouble=self._observer.warn)
            self._held[run] = self._stack.enter_context(renewal)
        return self._held[run]

    def make_ready(self, shape: WorkerShape, *, cache_dir: Path) -> Ready:
        """Prepare the data, connect to Ray and check that workers of this shape fit there, on nodes that see all.

        Raises:
            UserError: the data or the scale cannot work as they are.
            ClusterError: there is no cluster.
        """
        spec, embedded = self._document.spec, is_embedded()
        preparation = _prepare(self._document, cache_dir, self._observer)
        self._observer.say("starting Ray on this machine" if embedded else "connecting to the Ray cluster")
        resources = self._stack.enter_context(cluster.connected())
        check_fits(spec.scale, shape, resources, where="this machine" if embedded else "the cluster")
        nodes.check_all_see(spec, self.objects, num_nodes=resources.num_nodes)
        loaded = preparation.result()
        self._observer.data(loaded.data.report)
        losses.build(loaded.task, spec.train, label_counts=loaded.data.label_counts)  # refuses before workers start
        locked = lock.of_run(self._document, loaded, resources, prompt_of=prompt_source.find(self.objects, spec))
        return Ready(loaded, locked, basis_of(self._document, locked, labels=loaded.task.labels))


@contextmanager
def opened(document: FineTune, *, storage: str, observer: Observer) -> Iterator[Ground]:
    """Open the storage, and check what can be found wrong in a moment; at the end leave Ray and the leases.

    Raises:
        UserError, StorageError: see `preflight.check`.
        Interrupted: SIGTERM came where no driver keeps it.
    """
    objects = open_storage(storage)
    preflight.check_alone(document.spec)
    preflight.check(document.spec, objects)
    prompt_start.find(objects, document.spec)  # refuses before data are prepared
    if objects.local_path is not None and nodes.goes_with_job(objects.local_path):
        observer.warn(nodes.GOES_WITH_JOB.format(storage=objects.local_path))
    with ExitStack() as stack, _interrupts():
        yield Ground(objects, document, stack, observer=observer)


def _prepare(document: FineTune, cache_dir: Path, observer: Observer) -> Future[Inputs]:
    """Prepare the data beside the start of Ray, which mostly waits.

    In a daemon thread: an error of the cluster, or an interrupt, is not held up by a million rows.
    """
    preparation: Future[Inputs] = Future()

    def prepare() -> None:
        try:
            preparation.set_result(inputs.load(document.spec, cache_dir=cache_dir, on_progress=observer.preparing))
        except BaseException as error:
            preparation.set_exception(error)

    threading.Thread(target=prepare, name="prepare", daemon=True).start()
    return preparation


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let SIGTERM before and between attempts, which Ray turns into SystemExit, be what it is."""
    try:
        yield
    except SystemExit as error:
        raise Interrupted("stopped by SIGTERM", exit_code=143) from error


def _now() -> datetime:
    return datetime.now(UTC)
