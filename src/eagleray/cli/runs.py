"""`eagleray runs`: which runs there are, what is known of one, and away with it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli.options import AsJson, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from eagleray.store.checkpoints import Manifest
    from eagleray.store.objects import Objects
    from eagleray.store.runs import RunRecord

app = typer.Typer(no_args_is_help=True, help="List, show and delete runs.")

DEFAULT_STORAGE = "./runs"
_SHOWN_EVENTS = 10
_SHOWN_METRICS = 2

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run id, or a name for its newest succeeded run.")]


@app.command("list")
def list_(storage: Storage = None, as_json: AsJson = False) -> None:
    """List the runs, newest first."""
    from eagleray.store import runs

    objects = _open(storage)
    records = runs.list_runs(objects) if objects else []
    if as_json:
        _print_json([_listed(record) for record in records])
        return
    if not records:
        typer.echo(f"no runs in {_uri(storage)}", err=True)
        return
    _print(_runs_table(records))


@app.command()
def show(run: RunArgument, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show what is known of a run: document, lock, metrics, checkpoints, events."""
    from eagleray.store import runs

    objects = _open_existing(storage)
    record = runs.find(objects, run)
    if as_json:
        _print_json(_shown(objects, record))
        return
    _print_run(objects, record)


@app.command()
def delete(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run id.")],
    storage: Storage = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a run even while it is going on.")] = False,
) -> None:
    """Delete a run with its checkpoints and its model."""
    from rich.filesize import decimal

    from eagleray.cli import confirmation
    from eagleray.store import paths, runs

    objects = _open_existing(storage)
    if not runs.is_claimed(objects, run):
        _refuse_unknown(objects, run)
    if not force:
        _refuse_alive(objects, run)
    size_bytes = sum(info.size_bytes for info in objects.list(paths.run(run)))
    confirmation.ask(f"Delete {run} with all it wrote ({decimal(size_bytes)}) from {objects.uri}?", yes=yes)
    runs.delete(objects, run)
    typer.echo(f"deleted {run}, {decimal(size_bytes)} freed")


def _uri(storage: str | None) -> str:
    return storage or os.environ.get("EAGLERAY_STORAGE") or DEFAULT_STORAGE


def _open(storage: str | None) -> Objects | None:
    """The storage; None for a local directory that is not there, which reading must not create."""
    from eagleray.store.objects import local_directory, open_storage

    directory = local_directory(_uri(storage))
    return open_storage(_uri(storage)) if directory is None or directory.exists() else None


def _open_existing(storage: str | None) -> Objects:
    objects = _open(storage)
    if objects is None:
        where = _uri(storage)
        raise UserError(f"there is no directory {where}: give the storage of the runs by --storage or EAGLERAY_STORAGE")
    return objects


def _refuse_unknown(objects: Objects, run: str) -> None:
    from eagleray.store import runs

    found = runs.find(objects, run)  # raises with what is there, unless `run` is a name
    raise UserError(f"{run} is a name, not a run id: delete takes an id, such as {found.run}")


def _refuse_alive(objects: Objects, run: str) -> None:
    from eagleray.store import runs
    from eagleray.store.objects import ObjectMissing
    from eagleray.store.records import Damaged

    try:
        record, progress = runs.read(objects, run), runs.read_progress(objects, run)
    except (ObjectMissing, Damaged):
        return
    if runs.is_alive(record, progress, now=datetime.now(UTC)):
        raise UserError(f"{run} is going on (phase {record.phase}): stop it first, or add --force if it is dead")


def _listed(record: RunRecord) -> dict[str, Any]:
    fields = {"run", "name", "kind", "phase", "started_at", "step", "metrics"}
    return record.model_dump(mode="json", include=fields)


def _shown(objects: Objects, record: RunRecord) -> dict[str, Any]:
    import yaml

    from eagleray.store import checkpoints, events, runs

    progress = runs.read_progress(objects, record.run)
    return {
        **record.model_dump(mode="json"),
        "progress": progress.model_dump(mode="json") if progress else None,
        "document": yaml.safe_load(runs.read_document(objects, record.run)),
        "lock": runs.read_lock(objects, record.run).model_dump(mode="json"),
        "checkpoints": [each.model_dump(mode="json") for each in checkpoints.list_manifests(objects, record.run)],
        "events": [event.model_dump(mode="json") for event in events.read_events(objects, record.run)],
    }


def _runs_table(records: list[RunRecord]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("phase", no_wrap=True)
    table.add_column("started (UTC)", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("metrics", overflow="fold")
    for record in records:
        table.add_row(record.run, record.phase, _time(record.started_at), str(record.step), _few_metrics(record))
    return table


def _few_metrics(record: RunRecord) -> str:
    measured = record.metrics.get("test") or record.metrics.get("validation") or {}
    numbers = {name: value for name, value in measured.items() if isinstance(value, int | float)}
    return " ".join(f"{name} {_number(value)}" for name, value in list(numbers.items())[:_SHOWN_METRICS])


def _print_run(objects: Objects, record: RunRecord) -> None:
    from eagleray.store import checkpoints, events

    _print(_facts_table(objects, record))
    if record.metrics:
        _print("", _metrics_table(record))
    manifests = checkpoints.list_manifests(objects, record.run)
    if manifests:
        _print("", _checkpoints_table(manifests, record.best_step))
    happened = events.read_events(objects, record.run)[-_SHOWN_EVENTS:]
    if happened:
        _print("", *(f"{_time(event.at)}  {event.kind}  {_fields(event.fields)}" for event in happened))


def _facts_table(objects: Objects, record: RunRecord) -> Table:
    from rich.table import Table

    from eagleray.store import paths

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    of_steps = f" of {record.total_steps}" if record.total_steps else ""
    facts = {
        "run": record.run,
        "kind": record.kind,
        "phase": record.phase,
        "started": _time(record.started_at),
        "ended": _time(record.ended_at) if record.ended_at else "",
        "step": f"{record.step}{of_steps}",
        "best step": str(record.best_step) if record.best_step is not None else "",
        "restarts": str(record.restarts) if record.restarts else "",
        "error": record.error,
        "stored at": f"{objects.uri.rstrip('/')}/{paths.run(record.run)}",
    }
    for name, value in facts.items():
        if value:
            table.add_row(name, value)
    return table


def _metrics_table(record: RunRecord) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for split in record.metrics:
        table.add_column(split, justify="right")
    names = dict.fromkeys(name for measured in record.metrics.values() for name in measured)
    for name in names:
        values = [measured.get(name) for measured in record.metrics.values()]
        if any(isinstance(value, int | float) for value in values):
            table.add_row(name, *map(_number, values))
    return table


def _checkpoints_table(manifests: list[Manifest], best_step: int | None) -> Table:
    from rich.filesize import decimal
    from rich.table import Table

    table = Table("checkpoint", "epoch", "size", "files", "written (UTC)", "", box=None, pad_edge=False)
    for manifest in manifests:
        table.add_row(
            f"step {manifest.step}",
            f"{manifest.epoch:g}",
            decimal(sum(file.size_bytes for file in manifest.files)),
            str(len(manifest.files)),
            _time(manifest.created_at),
            "best" if manifest.step == best_step else "",
        )
    return table


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""


def _fields(fields: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={_number(value) or value}" for name, value in fields.items() if not isinstance(value, dict)
    )


def _print(*parts: Table | str) -> None:
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part, markup=False, highlight=False)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
