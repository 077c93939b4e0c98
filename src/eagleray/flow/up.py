"""A document's whole life: which steps of it are done already, and which are to be done now?

Nothing is kept of an earlier `up`. Whether a step is done is seen by what it leaves behind on the storage, so that it
does not matter at which moment the one before was killed, nor by whom a step was done.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from eagleray.flow import machines
from eagleray.flow.making import Making
from eagleray.flow.places import Place
from eagleray.flow.publishing import Publishing
from eagleray.flow.steps import STEPS, Observer, Step
from eagleray.monitoring import address
from eagleray.spec.finetune import FineTune, of_stage
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.train import preflight


class Life:
    """What became of a document so far, and what comes next. Leaving its context ends what it has started here."""

    def __init__(
        self,
        document: FineTune,
        objects: Objects,
        *,
        storage: str,
        cache_dir: Path,
        observer: Observer,
        place: Place | None,
        by: str,
        begins_anew: bool = False,
        forks: bool = False,
    ) -> None:
        """`place` is where the endpoint runs, None where the document has none; `by` goes into the alias' history."""
        self._document, self._observer, self._place = document, observer, place
        self._objects, self._storage, self._stack = objects, storage, ExitStack()
        self._making = Making(
            document,
            self._objects,
            storage=storage,
            cache_dir=cache_dir,
            observer=observer,
            stack=self._stack,
            begins_anew=begins_anew,
            forks=forks,
        )
        self._publishing = Publishing(
            document,
            self._objects,
            run=lambda: self._making.run,
            cache_dir=cache_dir,
            observer=observer,
            stack=self._stack,
            place=place,
            by=by,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def run(self) -> RunRecord:
        """The run whose model counts; there is one once it is trained or found."""
        return self._making.run

    def go(self, *, until: str) -> None:
        """Do what is not done yet, up to and with a step.

        Raises:
            UserError: the document, the data or the cluster cannot work as they are.
            NotPromoted: the gate was not met.
            EaglerayError: what went wrong, with what to do about it.
        """
        for step in self._until(until):
            found = step.find()
            if found is not None:
                self._observer.step(step.name, "there", found)
                continue
            self._observer.step(step.name, "begun", "")
            self._observer.step(step.name, "done", step.do())

    def look(self, *, until: str) -> None:
        """Tell what `go` would do, and do nothing. What depends on a step that is to be done is to be done, too."""
        is_known = True
        for step in self._until(until):
            found = step.find() if is_known else None
            is_known = is_known and (found is not None or step.name in ("preflight", "data"))
            self._observer.step(
                step.name, "there" if found is not None else "to do", found or self._making.why(step.name)
            )

    def _until(self, last: str) -> list[Step]:
        steps = [Step("preflight", lambda: None, self._preflight), *self._making.steps(), *self._publishing.steps()]
        return [step for step in steps if STEPS.index(step.name) <= STEPS.index(last)]

    def _preflight(self) -> str:
        preflight.check(self._document.spec, self._objects)
        for stage in self._document.spec.stages:
            preflight.check_sources(of_stage(self._document, stage, source=self._document.spec.model.source).spec)
        address.check(self._document.spec.monitoring)
        if self._place is not None:
            self._place.check()
        findings = list(machines.examine(self._document, self._objects, storage=self._storage, stack=self._stack))
        for each in findings:
            if each.state == "warning":
                self._observer.warn(str(each))
        machines.raise_errors(findings)
        others = sum(each.what.endswith("spec.storage") for each in findings) - 1
        nodes = f", and each of the cluster's {others} nodes sees them" if others else ""
        return f"{self._objects.uri} can be written, model and data are there{nodes}"
