"""How is a run told to a tracking server while it goes on, without being held up by it?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from eagleray.errors import UserError
from eagleray.flow import told
from eagleray.flow.mlflow import Mlflow
from eagleray.flow.mlflow import TrackingError as TrackingError
from eagleray.flow.teller import Teller
from eagleray.flow.told import Told
from eagleray.spec import document
from eagleray.spec.finetune import FineTune
from eagleray.store import events, paths, runs, sweeps
from eagleray.store.lineage import VersionRecord
from eagleray.store.objects import Objects
from eagleray.store.steps import read_steps
from eagleray.train.observer import Observer

EVERY_S = 10.0

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
    noting = _Noting(observer, server, objects)
    try:
        yield cast(AnyObserver, noting)
    finally:
        noting.close()


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


class _Noting:
    """An observer that hears which run it is, and has it told."""

    def __init__(self, observer: Observer, server: Mlflow, objects: Objects) -> None:
        self._observer, self._server, self._objects, self._run = observer, server, objects, ""
        self._teller = Teller(
            self._tell,
            every_s=EVERY_S,
            on_trouble=lambda error: observer.warn(f"{error}; trying again"),
            name="tracking",
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    def created(self, record: runs.RunRecord) -> None:
        """The run exists."""
        self._run = record.run
        self._teller.begin()
        self._observer.created(record)

    def close(self) -> None:
        """Tell the end, if the server can be reached in time."""
        if self._run and not self._teller.close():
            self._observer.warn(
                f"MLflow was not told how {self._run} ended: `eagleray runs track {self._run}` tells it later"
            )

    def _tell(self) -> None:
        self._server.tell(read(self._objects, self._run))
