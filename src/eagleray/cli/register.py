"""`eagleray register`: a run's model becomes a version of a registered model."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, RunName, Storage

if TYPE_CHECKING:
    from eagleray.store.lineage import VersionRecord


def register(
    run: RunName,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The registered model. Left out: the name of the run's document."),
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Register the final model of a run as the next version of a model.

    Stores the files with their hashes, what they were made from, rows of the test split with the model's answers, and
    for encoders ONNX files. A model that is registered already is not registered again.

    \b
    Examples:
      eagleray register reviews
      eagleray register reviews-0003 --name film-reviews --json
    """
    objects = storages.open_there(storage)

    from eagleray.flow.register import register as register_run
    from eagleray.store.cache import cache_root

    record = register_run(
        objects,
        run,
        name=name,
        cache_dir=cache_root(),
        say=partial(printing.say, err=True),
        now=datetime.now(UTC),
    )
    if as_json:
        printing.show_json(record.model_dump(mode="json"))
        return
    typer.echo(f"{record.name}@{record.version}")
    for precision, file in record.onnx.items():
        typer.echo(_onnx_line(precision, record, agreement=file.agreement, difference=file.max_difference), err=True)


def _onnx_line(precision: str, record: VersionRecord, *, agreement: float, difference: float) -> str:
    return (
        f"ONNX {precision}: same answer to {agreement:.1%} of {record.num_golden} golden rows, "
        f"probabilities within {difference:.2g}"
    )
