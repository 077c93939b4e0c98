"""Which models are registered, in which versions, and which version each alias points to.

A version is immutable: a number that was claimed, files, golden rows and a record that is written last. An alias is a
chain of changes, so that what it pointed to and who moved it stays known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime

from eagleray.errors import UserError
from eagleray.store import chains, paths, records, references, rollouts
from eagleray.store.lineage import GoldenRow, OnnxRecord, VersionFile, VersionRecord
from eagleray.store.objects import Objects
from eagleray.store.records import Record
from eagleray.store.references import Reference
from eagleray.store.runs import RunRecord
from eagleray.store.versions import (
    card,
    claim,
    commit,
    fetch,
    golden,
    names,
    newest,
    put_file,
    put_golden,
    read,
    remove,
    stored,
    versions,
)

__all__ = [
    "AliasChange",
    "AliasMoved",
    "GoldenRow",
    "OnnxRecord",
    "VersionFile",
    "VersionRecord",
    "aliases",
    "card",
    "check_unused",
    "claim",
    "commit",
    "current",
    "delete",
    "fetch",
    "golden",
    "histories",
    "history",
    "last_change",
    "names",
    "newest",
    "of_run",
    "point",
    "put_file",
    "put_golden",
    "read",
    "remove_alias",
    "resolve",
    "stored",
    "version_before",
    "versions",
]


class AliasMoved(UserError):
    """Somebody else moved the alias after it was looked at."""


class AliasChange(Record):
    """One change of an alias."""

    name: str
    alias: str
    number: int
    version: int
    """The version that the alias points to; where it was removed, the one that it pointed to last."""
    previous: int | None = None
    action: Literal["promote", "rollback", "remove"]
    at: AwareDatetime
    by: str
    reason: str = ""


def aliases(objects: Objects, name: str) -> dict[str, AliasChange]:
    """The newest change of each alias that there is."""
    found = {alias: last_change(objects, name, alias) for alias in _ever(objects, name)}
    return {alias: change for alias, change in found.items() if change is not None and change.action != "remove"}


def current(objects: Objects, name: str, alias: str) -> AliasChange:
    """The newest change of one alias. Raises UserError with those that there are."""
    change = last_change(objects, name, alias)
    if change is None or change.action == "remove":
        raise _no_alias(objects, name, alias, removed=change)
    return change


def last_change(objects: Objects, name: str, alias: str) -> AliasChange | None:
    """The newest change of one alias, its removal included; None where there never was one."""
    return chains.newest(objects, paths.alias(name, alias), AliasChange)


def history(objects: Objects, name: str, alias: str) -> list[AliasChange]:
    """All changes of an alias, the oldest first."""
    return chains.history(objects, paths.alias(name, alias), AliasChange)


def histories(objects: Objects, name: str) -> dict[str, list[AliasChange]]:
    """All changes of every alias that there ever was."""
    return {alias: history(objects, name, alias) for alias in _ever(objects, name)}


def version_before(changes: Sequence[AliasChange]) -> int | None:
    """The version that a rollback goes to: the one before the newest. After a rollback the one before that."""
    had: list[int] = []
    for change in changes:
        if change.action == "rollback" and change.version in had[:-1]:
            had.pop()
            while had[-1] != change.version:
                had.pop()
        elif change.version not in had[-1:]:
            had.append(change.version)
    return had[-2] if len(had) > 1 else None


def point(
    objects: Objects,
    name: str,
    alias: str,
    version: int,
    *,
    action: Literal["promote", "rollback"],
    by: str,
    reason: str,
    seen: int,
    now: datetime,
) -> AliasChange:
    """Let an alias point to a version. `seen` is the number of the change that this was decided on, 0 for none.

    Raises:
        AliasMoved: there is a newer one.
        UserError: there is no such version.
    """
    read(objects, name, version)
    chain = paths.alias(name, alias)
    previous = records.load(objects, paths.link(chain, seen), AliasChange).version if seen else None
    last = None if seen else last_change(objects, name, alias)
    if last is not None and last.action == "remove":  # the numbers go on where they ended
        seen = last.number
    change = AliasChange(
        name=name,
        alias=alias,
        number=seen + 1,
        version=version,
        previous=previous,
        action=action,
        at=now,
        by=by,
        reason=reason,
    )
    return _written(objects, change)


def remove_alias(objects: Objects, name: str, alias: str, *, by: str, reason: str, now: datetime) -> AliasChange:
    """Let an alias point nowhere; its history stays. An endpoint that follows it goes on with what it serves.

    Raises:
        AliasMoved: somebody has moved it meanwhile.
        UserError: there is no such alias.
    """
    last = current(objects, name, alias)
    changes = {"number": last.number + 1, "previous": last.version, "action": "remove"}
    return _written(objects, last.model_copy(update={**changes, "at": now, "by": by, "reason": reason}))


def resolve(objects: Objects, reference: Reference) -> VersionRecord:
    """The version that is meant. Raises UserError with what there is."""
    name = reference.name
    if reference.alias is not None:
        return read(objects, name, current(objects, name, reference.alias).version)
    if reference.version is not None:
        return read(objects, name, reference.version)
    return newest(objects, name)


def of_run(objects: Objects, name: str, record: RunRecord) -> VersionRecord | None:
    """The version that a run's model is already. One that was trained further since is another model."""
    made = (record.run, record.best_step)
    return next((each for each in versions(objects, name) if (each.run, each.step) == made), None)


def check_unused(objects: Objects, name: str, version: int) -> None:
    """Raise UserError where an alias or a rollout needs the version."""
    for alias, change in aliases(objects, name).items():
        if change.version == version:
            raise UserError(
                f"{name}@{version} has the alias {alias}: give that to another version first, by `eagleray models "
                f"promote {name}@VERSION --alias {alias}`"
            )
    for rollout in rollouts.of_model(objects, name):
        if version in (rollout.stable, rollout.candidate) and not _is_removed(objects, name, rollout.alias):
            role = "stable" if version == rollout.stable else "candidate"
            raise UserError(
                f"{name}@{version} is the {role} version of the endpoint that follows {rollout.alias}: wait until that "
                f"has gone over to another version"
            )


def delete(objects: Objects, name: str, version: int) -> None:
    """Delete a version, or what a killed registration left of one. Raises UserError where it is in use."""
    check_unused(objects, name, version)
    remove(objects, name, version)


def _ever(objects: Objects, name: str) -> list[str]:
    """The aliases that there ever were."""
    return [alias for alias in objects.folders(paths.aliases(name)) if paths.is_alias(alias)]


def _is_removed(objects: Objects, name: str, alias: str) -> bool:
    last = last_change(objects, name, alias)
    return last is not None and last.action == "remove"


def _written(objects: Objects, change: AliasChange) -> AliasChange:
    if not chains.add(objects, paths.alias(change.name, change.alias), change.number, change):
        raise _moved(objects, change)
    return change


def _moved(objects: Objects, late: AliasChange) -> AliasMoved:
    name, alias = late.name, late.alias
    newest = last_change(objects, name, alias)
    by = newest.by if newest is not None else "somebody"
    if newest is None or newest.action == "remove":
        return AliasMoved(f"{alias} of {name} was removed by {by} meanwhile: look at `eagleray models list`")
    return AliasMoved(
        f"{alias} of {name} was given to version {newest.version} by {by} meanwhile: look at "
        f"`eagleray models show {name}@{alias}`, and decide again"
    )


def _no_alias(objects: Objects, name: str, alias: str, *, removed: AliasChange | None) -> UserError:
    newest(objects, name)  # raises where there is no such model
    makes_it = f"`eagleray models promote {name}@VERSION --alias {alias}` makes it"
    if removed is not None:
        was = f"pointed to version {removed.version}"
        return UserError(f"the alias {alias} of model {name} {was} and was removed by {removed.by}: {makes_it} anew")
    return references.unknown(
        "alias", alias, known=list(aliases(objects, name)), where=f"of model {name}", or_else=makes_it
    )
