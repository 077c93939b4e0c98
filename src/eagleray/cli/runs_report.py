"""`eagleray runs report`: all that a run has written down, as one page for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eagleray.cli import storage as storages
from eagleray.cli.options import RunName, Storage
from eagleray.errors import UserError


def report(
    run: RunName,
    storage: Storage = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the page to this file. Else it goes beside the run on the storage, as report.html.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a page of a run: diagnosis, curves, mistakes, where its time went, what it was made of.

    One HTML file that needs no network. It holds texts of the data: who may not see those must not get it.

    \b
    Examples:
      eagleray runs report sms-spam
      eagleray runs report sms-spam-0003 --out report.html
    """
    from eagleray.flow import reporting
    from eagleray.store import runs, sweeps

    objects = storages.open_there(storage)
    record = runs.find(objects, run)
    if record.kind == sweeps.KIND:
        raise UserError(f"{record.run} is a sweep, which writes its own page: see `eagleray sweep show {record.run}`")
    html = reporting.page(objects, record)
    if out is None:
        typer.echo(reporting.put(objects, record.run, html))
        return
    try:
        out.write_text(html, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    typer.echo(out)
