"""How is a run told to a tracking server while it goes on, without being held up by it?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from eagleray.errors import StorageError, UserError
from eagleray.flow import told
from eagleray.flow.mlflow import Mlflow
from eagleray.flow.mlflow import TrackingError as TrackingError
from eagleray.flow.told import Told
from eagleray.spec import document
from eagleray.spec.finetune import FineTune
from eagleray.store import events, paths, runs, sweeps
from eagleray.store.lineage import VersionRecord
from eagleray.store.objects import Objects
from eagleray.store.steps import read_steps
from eagleray.train.observer import Observer

EVERY_S = 10.0
AT_END_S = 30.0
"""How long a server that is away is waited for once the run has ended."""
_AGAIN_S = 2.0

AnyObserver = TypeVar("AnyObserver", bound=Observer)


@contextmanager
def beside(wanted: FineTune, objects: Objects, observer: AnyObserver) -> Iterator[AnyObserver]:
    """An observer that also has the run told to the server of the document, from a thread beside it.

    Raises:
        UserError: its client is not installed.
    """
    spec = wanted.spec.tracking
    if spec is None:
        yield observer
        return
    server = Mlflow(spec, name=wanted.metadata.name, storage=objects.uri)
    teller = _Teller(server, objects, warn=observer.warn)
    try:
        yield cast(AnyObserver, _Noting(observer, teller))
    finally:
        teller.close()


def tell(objects: Objects, run: str) -> str:
    """Tell the server of a run's document what there is of the run; returns its address.

    Raises:
        UserError: the document names none.
        TrackingError: it does not answer, or refuses.
    """
    made_from = _document(objects, run)
    spec = made_from.spec.tracking
    if spec is None:
        raise UserError(f"the document of {run} has no section `tracking`: there is nobody to tell")
    Mlflow(spec, name=made_from.metadata.name, storage=objects.uri).tell(read(objects, run))
    return spec.uri


def register(wanted: FineTune, objects: Objects, record: VersionRecord) -> None:
    """Tell the server of a document of a version, and of the run that it was made from. Raises TrackingError."""
    assert wanted.spec.tracking is not None
    server = Mlflow(wanted.spec.tracking, name=wanted.metadata.name, storage=objects.uri)
    server.tell(read(objects, record.run))
    server.register(record, stored_at=f"{objects.uri.rstrip('/')}/{paths.version(record.name, record.version)}")


def read(objects: Objects, run: str) -> Told:
    """What the storage says of a run now."""
    record = runs.read(objects, run)
    is_sweep = record.kind == sweeps.KIND
    sweep = sweeps.read(events.read_events(objects, run)) if is_sweep else None
    rows = [] if is_sweep else read_steps(objects, run)
    return told.of_run(record, _document(objects, run).spec, runs.read_lock(objects, run), rows, sweep)


def _document(objects: Objects, run: str) -> FineTune:
    return document.loads(runs.read_document(objects, run), source=paths.document(run)).document


class _Teller:
    """A thread that tells what is new every few seconds, and once more at the end."""

    def __init__(self, server: Mlflow, objects: Objects, *, warn: Callable[[str], None]) -> None:
        self._server, self._objects, self._warn = server, objects, warn
        self._run = ""
        self._is_away = False
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def begin(self, run: str) -> None:
        """The run exists."""
        self._run = run
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> None:
        """Tell the end, if the server can be reached in time."""
        if not self._run:
            return
        self._ends.set()
        self._thread.join()
        deadline = time.monotonic() + AT_END_S
        while not self._told() and time.monotonic() < deadline:
            time.sleep(_AGAIN_S)
        if self._is_away:
            self._warn(f"MLflow was not told how {self._run} ended: `eagleray runs track {self._run}` tells it later")

    def _work(self) -> None:
        while not self._ends.wait(EVERY_S):
            self._told()

    def _told(self) -> bool:
        try:
            self._server.tell(read(self._objects, self._run))
        except (TrackingError, StorageError) as error:
            if not self._is_away:
                self._warn(f"{error}; trying again")
            self._is_away = True
            return False
        self._is_away = False
        return True


class _Noting:
    """An observer that hears which run it is."""

    def __init__(self, observer: Observer, teller: _Teller) -> None:
        self._observer, self._teller = observer, teller

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    def created(self, record: runs.RunRecord) -> None:
        """The run exists."""
        self._teller.begin(record.run)
        self._observer.created(record)
