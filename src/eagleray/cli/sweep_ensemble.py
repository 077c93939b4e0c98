"""`eagleray sweep ensemble`: the best trials of a sweep become one model."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.inputs import read_document, storage_of
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.store.objects import Objects
    from eagleray.store.runs import RunRecord

SweepName = Annotated[str, typer.Argument(metavar="FILE|SWEEP", help="The document, or a sweep's id or name.")]


Combine = Literal["mean", "vote", "soup"]


def ensemble(
    sweep: SweepName,
    num_best: Annotated[int, typer.Option("--best", metavar="K", min=2, help="How many of the best trials.")] = 3,
    combine: Annotated[
        Combine,
        typer.Option(help="mean: of their probabilities. vote: of most of them. soup: the mean of their weights."),
    ] = "mean",
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Let each count as much as its metric on the validation rows says.")
    ] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Make one model of the best trials of a sweep that has ended: a run, measured on validation and test rows.

    The run is like any: `predict` asks it, `register` makes a version of it, which is served as any other.

    \b
    Examples:
      eagleray sweep ensemble jobs/sweeps/lr-lora-asha.yaml --best 3
      eagleray sweep ensemble film-sentiment-0001 --best 5 --combine soup
    """
    objects, record, _ = find(sweep, storage)
    if record.phase != "succeeded":
        raise UserError(f"{record.run} is {record.phase}: only of a sweep that has ended are the best trials known")

    from eagleray.cli.metrics_table import print_metrics
    from eagleray.flow import ensembles
    from eagleray.store.cache import cache_root

    made = ensembles.make(
        objects,
        record,
        num_best=num_best,
        combine=combine,
        is_weighted=weighted,
        cache_dir=cache_root(),
        say=partial(printing.say, err=True),
        now=lambda: datetime.now(UTC),
    )
    if as_json:
        printing.show_json(made.model_dump(mode="json"))
        return
    print_metrics(made)


def find(sweep: str, storage: str | None) -> tuple[Objects, RunRecord, str]:
    """The newest sweep of a document, an id or a name, its storage, and where that is."""
    from eagleray.store import runs, sweeps

    name, uri = sweep, storages.uri(storage)
    if Path(sweep).suffix in (".yaml", ".yml") or Path(sweep).is_file():
        loaded = read_document(Path(sweep), overrides=None, storage=storage)
        name, uri = loaded.document.metadata.name, storage_of(loaded.document)
    objects = storages.open_there(uri)
    found = [each for each in runs.list_runs(objects) if each.kind == sweeps.KIND and name in (each.run, each.name)]
    if not found:
        raise UserError(f"there is no sweep {name!r} on {objects.uri}: `eagleray sweep {sweep}` makes one")
    return objects, found[0], uri
