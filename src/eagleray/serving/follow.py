"""Which versions shall answer, by the storage alone: what a replica begins with and a coordinator goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from eagleray.errors import UserError
from eagleray.serving import rollout
from eagleray.spec.serving import ServedModelSpec
from eagleray.store import references, registry, rollouts
from eagleray.store.objects import Objects
from eagleray.store.references import Reference
from eagleray.store.registry import AliasChange
from eagleray.store.rollouts import RolloutRecord


@dataclass(frozen=True, slots=True)
class Desired:
    """What a replica shall do for one model; from the rollout record."""

    stable: int
    candidate: int | None = None
    share: float = 0.0
    has_shadow: bool = False


def at_start(objects: Objects, models: Sequence[ServedModelSpec]) -> dict[str, Desired]:
    """What to answer with before a coordinator has said anything: the versions that were proven.

    Raises:
        UserError: a model, a version or an alias is not there; says what is.
    """
    return {each.name: _at_start(objects, references.parse(each.model)) for each in models}


def registered_names(models: Sequence[ServedModelSpec]) -> dict[str, str]:
    """The registry's name of each model."""
    return {each.name: references.parse(each.model).name for each in models}


def followed(models: Sequence[ServedModelSpec]) -> dict[str, Reference]:
    """The models whose alias may move."""
    found = {each.name: references.parse(each.model) for each in models}
    return {name: reference for name, reference in found.items() if reference.alias is not None}


def alias_of(objects: Objects, reference: Reference) -> AliasChange:
    """The newest change of the alias that is followed, its removal included. Raises UserError where there is none."""
    assert reference.alias is not None
    found = registry.last_change(objects, reference.name, reference.alias)
    return found or registry.current(objects, reference.name, reference.alias)


def check_aliases(objects: Objects, models: Sequence[ServedModelSpec]) -> None:
    """Raise UserError where one that is to be followed is not there, or is there no longer."""
    for reference in followed(models).values():
        assert reference.alias is not None
        registry.current(objects, reference.name, reference.alias)


def record_of(objects: Objects, reference: Reference) -> RolloutRecord:
    """What holds for an alias; the first endpoint that follows it writes the first record."""
    assert reference.alias is not None
    while True:
        found = rollouts.newest(objects, reference.name, reference.alias)
        if found is not None:
            return found
        current = registry.current(objects, reference.name, reference.alias)
        first = rollout.begin(current, now=datetime.now(UTC))
        if rollouts.write(objects, first):
            return first


def desired(record: RolloutRecord) -> Desired:
    """What a replica shall do, by the record."""
    if record.candidate is None or record.phase == "proving":
        return Desired(stable=record.stable)
    return Desired(record.stable, record.candidate, share=record.share, has_shadow=record.phase == "shadow")


def _at_start(objects: Objects, reference: Reference) -> Desired:
    if reference.alias is None:
        return Desired(stable=registry.resolve(objects, reference).version)
    stable = record_of(objects, reference).stable
    known = [record.version for record in registry.versions(objects, reference.name)]
    if stable not in known:
        raise UserError(
            f"{reference.name}@{stable} is served by {reference.alias} and is gone: promote another version"
        )
    return Desired(stable=stable)
