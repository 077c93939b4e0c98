"""Who looks on at a run beside the person who has started it? Those that its document names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eagleray.flow import exporting, tracking
from eagleray.flow.tracking import AnyObserver
from eagleray.spec.finetune import FineTune
from eagleray.store.objects import Objects


@contextmanager
def beside(wanted: FineTune, objects: Objects, observer: AnyObserver) -> Iterator[AnyObserver]:
    """An observer that has a tracking server and Prometheus know, too, where the document says so.

    Raises:
        UserError: a client is not installed, or the port of the metrics is taken.
    """
    with (
        exporting.beside(wanted, objects, observer) as exported,
        tracking.beside(wanted, objects, exported) as told,
    ):
        yield told
