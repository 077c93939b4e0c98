"""`eagleray models`: which models are registered, which version has an alias, and how that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli import aliases, model_export, printing
from eagleray.cli import storage as storages
from eagleray.cli.aliases import ModelReference
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.cli.model_tables import Model
    from eagleray.store.objects import Objects
    from eagleray.store.registry import AliasChange, VersionRecord

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List, show, promote, roll back, export and delete registered models, and remove aliases.

    \b
    Examples:
      eagleray models list
      eagleray models promote reviews@2
    """


ModelVersion = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A version of a registered model.")]


@app.command("list")
def list_(storage: Storage = None, as_json: AsJson = False) -> None:
    """List the registered models with their versions and aliases.

    \b
    Example:
      eagleray models list
    """
    objects = storages.open_if_there(storage)
    models = _listed(objects) if objects else []
    if as_json:
        printing.show_json([_as_listed(each) for each in models])
        return
    if not models:
        typer.echo(f"no models in {storages.uri(storage)}", err=True)
        return
    from eagleray.cli.model_tables import models_table

    printing.show(models_table(models))


@app.command()
def show(model: ModelReference, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show a version: what it was made from, how good it is, its files, its model's aliases over time, its card.

    \b
    Example:
      eagleray models show reviews@champion
    """
    from eagleray.store import references, registry

    objects = storages.open_there(storage)
    record = registry.resolve(objects, references.parse(model))
    changes = registry.histories(objects, record.name)
    there = registry.aliases(objects, record.name)
    with_it = [alias for alias, change in there.items() if change.version == record.version]
    card = registry.card(objects, record)
    if as_json:
        history = {alias: [each.model_dump(mode="json") for each in found] for alias, found in changes.items()}
        printing.show_json({**record.model_dump(mode="json"), "aliases": with_it, "history": history, "card": card})
        return
    _print_version(objects, record, aliases=with_it, changes=[each for found in changes.values() for each in found])
    if card:
        printing.show("", card)


app.command()(aliases.promote)
app.command()(aliases.rollback)
app.command()(aliases.unalias)
app.command()(model_export.export)


@app.command()
def delete(
    model: ModelVersion,
    storage: Storage = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a version that has no alias and is not served. Its number is never given again.

    \b
    Example:
      eagleray models delete reviews@2 --yes
    """
    from rich.filesize import decimal

    from eagleray.cli import confirmation
    from eagleray.store import paths, references, registry

    wanted = references.parse(model)
    if wanted.version is None:
        raise UserError(f"{model} names no single version: delete takes one by its number, such as {wanted.name}@3")
    objects = storages.open_there(storage)
    stored = registry.stored(objects, wanted.name, wanted.version)
    if not stored:
        registry.read(objects, wanted.name, wanted.version)  # raises with what is there
    registry.check_unused(objects, wanted.name, wanted.version)
    size = decimal(sum(info.size_bytes for info in stored))
    is_finished = any(info.key == paths.version_record(wanted.name, wanted.version) for info in stored)
    what = f"{wanted}" if is_finished else f"what was stored of {wanted}, the registration of which has not ended,"
    confirmation.ask(f"Delete {what} ({size}) from {objects.uri}?", yes=yes)
    registry.delete(objects, wanted.name, wanted.version)
    typer.echo(f"deleted {wanted}, {size} freed")


def _listed(objects: Objects) -> list[Model]:
    from eagleray.cli.model_tables import Model
    from eagleray.store import registry

    found = [
        Model(
            name=name,
            versions=registry.versions(objects, name),
            aliases={alias: change.version for alias, change in registry.aliases(objects, name).items()},
        )
        for name in registry.names(objects)
    ]
    return [model for model in found if model.versions]


def _as_listed(model: Model) -> dict[str, Any]:
    fields = ("version", "run", "metrics", "created_at")
    dumped = [each.model_dump(mode="json", include=set(fields)) for each in model.versions]
    versions = [{field: each[field] for field in fields} for each in dumped]
    return {"name": model.name, "versions": versions, "aliases": dict(model.aliases)}


def _print_version(objects: Objects, record: VersionRecord, *, aliases: list[str], changes: list[AliasChange]) -> None:
    import yaml

    from eagleray.cli import model_tables
    from eagleray.store import paths

    stored_at = f"{objects.uri.rstrip('/')}/{paths.version(record.name, record.version)}"
    printing.show(model_tables.lineage_table(record, aliases=aliases, stored_at=stored_at))
    if record.metrics:
        printing.show("", model_tables.metrics_table(record.metrics))
    printing.show("", model_tables.files_table(record))
    if changes:
        printing.show("", model_tables.history_table(changes))
    printing.show("", "document", yaml.safe_dump(record.document, sort_keys=False, allow_unicode=True).rstrip())
