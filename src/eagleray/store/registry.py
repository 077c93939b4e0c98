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
    "history",
    "names",
    "newest",
    "point",
    "put_file",
    "put_golden",
    "read",
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
    previous: int | None = None
    action: Literal["promote", "rollback"]
    at: AwareDatetime
    by: str
    reason: str = ""


def aliases(objects: Objects, name: str) -> dict[str, AliasChange]:
    """The newest change of each alias."""
    known = [alias for alias in objects.folders(paths.aliases(name)) if paths.is_alias(alias)]
    found = {alias: chains.newest(objects, paths.alias(name, alias), AliasChange) for alias in known}
    return {alias: change for alias, change in found.items() if change is not None}


def current(objects: Objects, name: str, alias: str) -> AliasChange:
    """The newest change of one alias. Raises UserError with those that there are."""
    change = chains.newest(objects, paths.alias(name, alias), AliasChange)
    if change is None:
        raise _no_alias(objects, name, alias)
    return change


def history(objects: Objects, name: str, alias: str) -> list[AliasChange]:
    """All changes of an alias, the oldest first."""
    return chains.history(objects, paths.alias(name, alias), AliasChange)


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
    if not chains.add(objects, chain, change.number, change):
        raise _moved(current(objects, name, alias))
    return change


def resolve(objects: Objects, reference: Reference) -> VersionRecord:
    """The version that is meant. Raises UserError with what there is."""
    name = reference.name
    if reference.alias is not None:
        return read(objects, name, current(objects, name, reference.alias).version)
    if reference.version is not None:
        return read(objects, name, reference.version)
    return newest(objects, name)


def check_unused(objects: Objects, name: str, version: int) -> None:
    """Raise UserError where an alias or a rollout needs the version."""
    for alias, change in aliases(objects, name).items():
        if change.version == version:
            raise UserError(
                f"{name}@{version} has the alias {alias}: give that to another version first, by `eagleray models "
                f"promote {name}@VERSION --alias {alias}`"
            )
    for rollout in rollouts.of_model(objects, name):
        if version in (rollout.stable, rollout.candidate):
            role = "stable" if version == rollout.stable else "candidate"
            raise UserError(
                f"{name}@{version} is the {role} version of the endpoint that follows {rollout.alias}: wait until that "
                f"has gone over to another version"
            )


def delete(objects: Objects, name: str, version: int) -> None:
    """Delete a version, or what a killed registration left of one. Raises UserError where it is in use."""
    check_unused(objects, name, version)
    remove(objects, name, version)


def _moved(change: AliasChange) -> AliasMoved:
    return AliasMoved(
        f"{change.alias} of {change.name} was given to version {change.version} by {change.by} meanwhile: look at "
        f"`eagleray models show {change.name}@{change.alias}`, and decide again"
    )


def _no_alias(objects: Objects, name: str, alias: str) -> UserError:
    newest(objects, name)  # raises where there is no such model
    return references.unknown(
        "alias",
        alias,
        known=list(aliases(objects, name)),
        where=f"of model {name}",
        or_else=f"`eagleray models promote {name}@VERSION --alias {alias}` makes it",
    )
