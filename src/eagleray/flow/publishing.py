"""How does a model come to answer: registered, held against its gate, promoted, deployed, asked?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from eagleray.errors import EaglerayError
from eagleray.flow.places import Place
from eagleray.flow.steps import Observer, Step
from eagleray.flow.verify import first_key, verify
from eagleray.spec.finetune import FineTune
from eagleray.spec.promote import PromoteSpec
from eagleray.store import gate, lease, registry
from eagleray.store.lineage import VersionRecord
from eagleray.store.objects import Objects
from eagleray.store.registry import AliasChange
from eagleray.store.renewal import renewed
from eagleray.store.runs import RunRecord


class NotPromoted(EaglerayError):
    """The gate was not met; nothing was promoted."""


class Publishing:
    """The version made of a run, its alias and its endpoint."""

    def __init__(
        self,
        document: FineTune,
        objects: Objects,
        *,
        run: Callable[[], RunRecord],
        cache_dir: Path,
        observer: Observer,
        stack: ExitStack,
        place: Place | None,
        by: str,
    ) -> None:
        """`run` is the run whose model counts; `place` where the endpoint runs, None where there is none."""
        self.objects = objects
        self._document, self._find_model, self._cache_dir = document, run, cache_dir
        self._observer, self._stack, self._place, self._by = observer, stack, place, by
        self._found: VersionRecord | None = None

    def steps(self) -> list[Step]:
        """Those that this document has, in order."""
        steps = [Step("register", self._find_version, self._register)]
        if self._document.spec.promote is not None or self._place is not None:
            steps.append(Step("gate", self._find_alias, self._pass_gate))
            steps.append(Step("promote", self._find_alias, self._promote))
        if self._place is not None:
            steps.append(Step("deploy", self._place.find, self._deploy))
            steps.append(Step("verify", lambda: None, self._verify))
        return steps

    def _find_version(self) -> str | None:
        self._found = registry.of_run(self.objects, self._name, self._model)
        return f"{self._name}@{self._found.version}" if self._found else None

    def _register(self) -> str:
        from eagleray.flow.register import register

        run = self._model.run
        taken = lease.take(self.objects, run, lease.this_process(), now=_now, on_wait=self._observer.say)
        with renewed(self.objects, run, taken, on_trouble=self._observer.warn):
            self._found = register(
                self.objects, run, name=self._name, cache_dir=self._cache_dir, say=self._observer.say, now=_now()
            )
        return f"{self._name}@{self._found.version}"

    def _find_alias(self) -> str | None:
        change = self._alias
        return f"{change.alias} is {self._reference}" if change and change.version == self.version.version else None

    def _pass_gate(self) -> str:
        change, when = self._alias, (self._document.spec.promote or PromoteSpec()).when
        current = registry.read(self.objects, self._name, change.version) if change else None
        refused = _taken_back(change, self.version)
        if when is not None:
            refused += gate.objections(self.version, current, when)
        if refused:
            stays = f"{change.alias} stays {self._name}@{change.version}" if change else "there is no version before it"
            raise NotPromoted("\n  ".join((f"{self._reference} is registered and not promoted; {stays}:", *refused)))
        return "passed" if when else "there is none"

    def _promote(self) -> str:
        change = self._alias
        promoted = registry.point(
            self.objects,
            self._name,
            self._alias_name,
            self.version.version,
            action="promote",
            by=self._by,
            reason="",
            seen=change.number if change else 0,
            now=_now(),
        )
        was = f", it was {promoted.previous}" if promoted.previous else ""
        return f"{promoted.alias} is {self._reference} now{was}"

    def _deploy(self) -> str:
        assert self._place is not None
        made = first_key(self._place.spec.endpoint, self.objects, name=self._name)
        if made is not None:
            self._observer.key(made)
        return self._place.start(self._stack)

    def _verify(self) -> str:
        assert self._place is not None
        return verify(self._place.spec, self.objects, self.version, say=self._observer.say)

    @property
    def version(self) -> VersionRecord:
        """The version; there is one once it is registered."""
        assert self._found is not None
        return self._found

    @property
    def _model(self) -> RunRecord:
        return self._find_model()

    @property
    def _name(self) -> str:
        return self._document.metadata.name

    @property
    def _reference(self) -> str:
        return f"{self._name}@{self.version.version}"

    @property
    def _alias_name(self) -> str:
        return (self._document.spec.promote or PromoteSpec()).alias

    @property
    def _alias(self) -> AliasChange | None:
        return registry.aliases(self.objects, self._name).get(self._alias_name)


def _taken_back(change: AliasChange | None, version: VersionRecord) -> list[str]:
    """Why a version that an endpoint or a person took back is not promoted again unasked."""
    if change is None or change.action != "rollback" or change.previous != version.version:
        return []
    why = f": {change.reason}" if change.reason else ""
    return [
        f"it was taken back from {change.alias} by {change.by}{why}; `eagleray models promote "
        f"{version.name}@{version.version} --alias {change.alias}` gives it back by hand"
    ]


def _now() -> datetime:
    return datetime.now(UTC)
