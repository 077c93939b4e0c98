"""`eagleray runs watch`: follow a run from any terminal that sees its storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.log_format import LogFormat
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import EaglerayError

if TYPE_CHECKING:
    from eagleray.store.objects import Objects
    from eagleray.store.runs import RunRecord


def watch(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or a name for its newest run.")],
    storage: Storage = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    log_format: LogFormat = None,
) -> None:
    """Follow a run or a sweep to its end, from any terminal that sees its storage.

    Ends as the run does: with 0 where it succeeded, else with 1. Ctrl-C ends the watching alone.

    \b
    Examples:
      eagleray runs watch reviews
      eagleray runs watch reviews-0003 --storage s3://bucket/runs
    """
    from eagleray.flow import watching

    objects = storages.open_there(storage)
    found = watching.find(objects, run)
    try:
        record = _followed(objects, found, quiet=quiet)
    except KeyboardInterrupt:
        typer.echo(f"{found.run} goes on; to follow it again: eagleray runs watch {found.run}", err=True)
        raise typer.Exit(130) from None
    if as_json:
        printing.show_json(record.model_dump(mode="json"))
    elif record.phase == "succeeded":
        from eagleray.cli.metrics_table import print_metrics

        print_metrics(record)
    if record.phase != "succeeded":
        raise EaglerayError(f"{record.run} {record.phase}{f': {record.error}' if record.error else ''}")


def _followed(objects: Objects, found: RunRecord, *, quiet: bool) -> RunRecord:
    from eagleray.cli import views
    from eagleray.flow import watching
    from eagleray.store import sweeps

    if found.kind == sweeps.KIND:
        with views.of_sweep(quiet=quiet) as sweep_view:
            return watching.follow_sweep(objects, found.run, sweep_view)
    with views.of_watched(quiet=quiet) as view:
        return watching.follow_run(objects, found.run, view)
