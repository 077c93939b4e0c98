"""`eagleray runs`: which runs there are, what is known of one, and away with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli import printing, runs_report
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, RunName, Storage
from eagleray.cli.run_compare import compare
from eagleray.cli.run_list import list_
from eagleray.cli.watch import watch
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.store.checkpoints import Manifest
    from eagleray.store.ledger import LedgerReport
    from eagleray.store.objects import Objects
    from eagleray.store.runs import RunRecord

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List, compare, watch, show and delete runs.

    \b
    Examples:
      eagleray runs list
      eagleray runs show reviews
    """


app.command()(runs_report.report)

_SHOWN_EVENTS = 10

app.command("list")(list_)
app.command()(compare)
app.command()(watch)


@app.command()
def show(run: RunName, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show what is known of a run: document, lock, metrics, checkpoints, ledger, goodput, diagnosis, events.

    \b
    Examples:
      eagleray runs show reviews
      eagleray runs show reviews-0001 --json
    """
    from eagleray.store import runs

    objects = storages.open_there(storage)
    record = runs.find(objects, run)
    if as_json:
        printing.show_json(_shown(objects, record))
        return
    _print_run(objects, record)


@app.command()
def track(run: RunName, storage: Storage = None) -> None:
    """Tell the tracking server of a run's document what it has missed of the run.

    \b
    Example:
      eagleray runs track reviews-0001
    """
    from eagleray.flow import tracking
    from eagleray.store import runs

    objects = storages.open_there(storage)
    record = runs.find(objects, run)
    typer.echo(f"told {tracking.tell(objects, record.run)} of {record.run}")


@app.command()
def delete(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run id; a name with --all.")],
    storage: Storage = None,
    all_: Annotated[bool, typer.Option("--all", help="Delete every run of this name.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a run even while it is going on.")] = False,
) -> None:
    """Delete a run, or with --all every run of a name, with its checkpoints and its model.

    Registered versions stay: they have files of their own. The id is not given to another run.

    \b
    Examples:
      eagleray runs delete reviews-0001
      eagleray runs delete reviews --all --yes
    """
    from rich.filesize import decimal

    from eagleray.cli import confirmation
    from eagleray.store import paths, runs

    objects = storages.open_if_there(storage) if all_ else storages.open_there(storage)
    if objects is None:
        typer.echo(f"there is no run of {run}: {storages.uri(storage)} is not there")
        return
    if not all_ and not runs.is_claimed(objects, run):
        _refuse_unknown(objects, run)
    chosen = sorted(runs.ids_of(objects, run)) if all_ else [run]
    if not force:
        for each in chosen:
            _refuse_alive(objects, each)
    size_bytes = sum(info.size_bytes for each in chosen for info in objects.list(paths.run(each)))
    named = ", ".join(chosen) or f"no run of {run}"
    if chosen:
        confirmation.ask(f"Delete {named} with all it wrote ({decimal(size_bytes)}) from {objects.uri}?", yes=yes)
    for each in chosen:
        runs.delete(objects, each)
    typer.echo(f"deleted {named}, {decimal(size_bytes)} freed")


def _refuse_unknown(objects: Objects, run: str) -> None:
    from eagleray.store import runs

    found = runs.find(objects, run)  # raises with what is there, unless `run` is a name
    raise UserError(f"{run} is a name, not a run id: delete takes an id, such as {found.run}")


def _refuse_alive(objects: Objects, run: str) -> None:
    from eagleray.store import runs, signs
    from eagleray.store.objects import ObjectMissing
    from eagleray.store.records import Damaged

    try:
        record = runs.read(objects, run)
        is_alive = signs.is_alive(objects, record, now=datetime.now(UTC))
    except (ObjectMissing, Damaged):
        return
    if is_alive:
        raise UserError(f"{run} is going on (phase {record.phase}): stop it first, or add --force if it is dead")


def _shown(objects: Objects, record: RunRecord) -> dict[str, Any]:
    from dataclasses import asdict

    from eagleray.cli.run_tables import count_restarts
    from eagleray.report import history
    from eagleray.report.diagnosis.run import diagnose
    from eagleray.store import runs

    found = history.read(objects, record)
    progress = runs.read_progress(objects, record.run)
    ledger = _ledger(objects, found.manifests)
    return {
        **record.model_dump(mode="json"),
        "restarts_by_reason": count_restarts(found.events),
        "progress": progress.model_dump(mode="json") if progress else None,
        "document": found.document,
        "lock": runs.read_lock(objects, record.run).model_dump(mode="json"),
        "checkpoints": [manifest.model_dump(mode="json") for manifest in found.manifests],
        "ledger": ledger.model_dump(mode="json") if ledger else None,
        "goodput": found.goodput.model_dump(mode="json") if found.goodput else None,
        "diagnosis": [asdict(finding) for finding in diagnose(found)],
        "events": [event.model_dump(mode="json") for event in found.events],
    }


def _print_run(objects: Objects, record: RunRecord) -> None:
    from eagleray.cli import run_tables
    from eagleray.cli.metrics_table import language_tables
    from eagleray.report import history
    from eagleray.report.diagnosis.run import diagnose
    from eagleray.store import paths

    found = history.read(objects, record)
    happened, manifests = found.events, found.manifests
    restarts, ledger = run_tables.count_restarts(happened), _ledger(objects, manifests)
    stored_at = f"{objects.uri.rstrip('/')}/{paths.run(record.run)}"
    facts = run_tables.facts_table(record, restarts=restarts, ledger=ledger, goodput=found.goodput, stored_at=stored_at)
    printing.show(facts)
    findings = diagnose(found)
    if findings:
        printing.show("", run_tables.diagnosis_table(findings))
    if record.metrics:
        printing.show("", run_tables.metrics_table(record), *language_tables(record))
    if manifests:
        printing.show("", run_tables.checkpoints_table(manifests, record.best_step))
    if happened:
        printing.show("", *map(run_tables.event_line, happened[-_SHOWN_EVENTS:]))


def _ledger(objects: Objects, manifests: Sequence[Manifest]) -> LedgerReport | None:
    """Of the steps up to the newest checkpoint; None where there is none."""
    from eagleray.store import ledger

    return ledger.examine(objects, manifests[-1].run, manifests[-1].id) if manifests else None
