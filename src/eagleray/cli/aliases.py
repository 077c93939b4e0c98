"""`eagleray models promote`, `rollback` and `unalias`: which version an alias points to, and how that changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.caller import caller
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.store.objects import Objects
    from eagleray.store.registry import AliasChange, VersionRecord

ModelReference = Annotated[
    str,
    typer.Argument(metavar="NAME[@VERSION|@ALIAS]", help="A registered model; its newest version if none is named."),
]
Alias = Annotated[str, typer.Option("--alias", metavar="ALIAS", help="The name that points to a version.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="What the history of the alias shall say.", show_default=False)
]


def promote(
    model: ModelReference,
    alias: Alias = "champion",
    force: Annotated[bool, typer.Option("--force", help="Promote it whatever the gate says.")] = False,
    reason: Reason = "",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Give an alias to a version, if it passes the gate of its own document (`spec.promote.when`).

    Ends with 1 where it does not pass. An endpoint that follows the alias takes the version over by itself.

    \b
    Examples:
      eagleray models promote reviews@3 --alias champion
      eagleray models promote reviews@3 --force --reason "the test rows changed"
    """
    from eagleray.store import references, registry

    objects = storages.open_there(storage)
    record = registry.resolve(objects, references.parse(model))
    before = registry.aliases(objects, record.name).get(alias)
    if before is not None and before.version == record.version:
        _tell_promoted(before, changed=False, objections=[], as_json=as_json)
        return
    objections = _objections(objects, record, before)
    if objections and not force:
        _tell_refused(record, alias, before, objections, as_json=as_json)
        raise typer.Exit(1)
    change = registry.point(
        objects,
        record.name,
        alias,
        record.version,
        action="promote",
        by=caller(),
        reason=": ".join(filter(None, (f"forced, though {'; '.join(objections)}" if objections else "", reason))),
        seen=before.number if before else 0,
        now=datetime.now(UTC),
    )
    _tell_promoted(change, changed=True, objections=objections, as_json=as_json)


def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered model.")],
    alias: Alias = "champion",
    reason: Reason = "",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Give an alias back to the version that had it before; once more, to the one before that.

    \b
    Example:
      eagleray models rollback reviews
    """
    from eagleray.store import registry

    objects = storages.open_there(storage)
    newest = registry.current(objects, name, alias)
    change = registry.point(
        objects,
        name,
        alias,
        _version_before(objects, newest),
        action="rollback",
        by=caller(),
        reason=reason,
        seen=newest.number,
        now=datetime.now(UTC),
    )
    if as_json:
        printing.show_json(change.model_dump(mode="json"))
        return
    typer.echo(f"{name}@{alias} is version {change.version} again, it was version {change.previous}")
    typer.echo(f"to undo this: eagleray models promote {name}@{change.previous} --alias {alias}")


def unalias(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered model.")],
    alias: Annotated[str, typer.Option("--alias", metavar="ALIAS", help="The alias to remove.", show_default=False)],
    reason: Reason = "",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Remove an alias; its history stays. An endpoint that follows it goes on with the version that it serves.

    \b
    Example:
      eagleray models unalias reviews --alias candidate
    """
    from eagleray.store import registry, rollouts

    objects = storages.open_there(storage)
    change = registry.remove_alias(objects, name, alias, by=caller(), reason=reason, now=datetime.now(UTC))
    if as_json:
        printing.show_json(change.model_dump(mode="json"))
        return
    typer.echo(f"{name}@{alias} is removed, it was version {change.version}")
    if any(each.alias == alias for each in rollouts.of_model(objects, name)):
        typer.echo("an endpoint that still follows it goes on with that version: end it before you delete the version")
    typer.echo(f"to undo this: eagleray models promote {name}@{change.version} --alias {alias}")


def _objections(objects: Objects, candidate: VersionRecord, before: AliasChange | None) -> list[str]:
    """What the gate of the candidate's document says against it. What cannot be judged is an objection, too."""
    from eagleray.store import gate, registry
    from eagleray.store.records import Damaged

    try:
        when = gate.of_document(candidate.document)
        if when is None:
            return []
        current = registry.read(objects, candidate.name, before.version) if before else None
    except (UserError, Damaged) as error:
        return [str(error)]
    return gate.objections(candidate, current, when)


def _tell_refused(
    record: VersionRecord, alias: str, before: AliasChange | None, objections: list[str], *, as_json: bool
) -> None:
    name = record.name
    if as_json:
        change = before.model_dump(mode="json") if before else None
        printing.show_json({"changed": False, "objections": objections, "change": change})
        return
    stays = f"{name}@{alias} stays version {before.version}" if before else f"{name}@{alias} stays without a version"
    typer.echo(f"not promoted: {name}@{record.version} does not pass the gate of its document; {stays}")
    for objection in objections:
        printing.say(f"  {objection}")
    typer.echo(
        f"to promote it all the same: eagleray models promote {name}@{record.version} --alias {alias} --force "
        "--reason TEXT"
    )


def _tell_promoted(change: AliasChange, *, changed: bool, objections: list[str], as_json: bool) -> None:
    name, alias = change.name, change.alias
    if as_json:
        printing.show_json({"changed": changed, "objections": objections, "change": change.model_dump(mode="json")})
        return
    if not changed:
        typer.echo(f"{name}@{alias} is version {change.version} already: nothing to do")
        return
    was = f"it was version {change.previous}" if change.previous is not None else "it is new"
    typer.echo(f"{name}@{alias} is version {change.version} now, {was}")
    for objection in objections:
        printing.say(f"  forced, though {objection}")
    if change.previous is not None:
        typer.echo(f"to go back: eagleray models rollback {name} --alias {alias}")


def _version_before(objects: Objects, newest: AliasChange) -> int:
    from eagleray.store import registry

    name, alias = newest.name, newest.alias
    version = registry.version_before(registry.history(objects, name, alias))
    promote = f"`eagleray models promote {name}@VERSION --alias {alias}` gives it to any other"
    if version is None:
        raise UserError(f"{name}@{alias} had no version before {newest.version}: {promote}")
    try:
        registry.read(objects, name, version)
    except UserError as error:
        raise UserError(f"{name}@{alias} was version {version} before, which is deleted: {promote}") from error
    return version
