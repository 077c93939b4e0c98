"""`eagleray doctor`: what is here, and what is missing for which function."""

from __future__ import annotations

from dataclasses import asdict

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, Storage

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


def doctor(storage: Storage = None, as_json: AsJson = False) -> None:
    """Look at this machine and this installation: packages, GPUs, memory, disk, ports, storage, cluster.

    Each finding says how to mend it. Ends with 1 where something is missing that everything needs.

    \b
    Examples:
      eagleray doctor
      eagleray doctor --storage s3://bucket/runs --json
    """
    from eagleray.flow.doctor import examine
    from eagleray.store.cache import cache_root

    findings = list(examine(storage=storages.uri(storage), cache_dir=cache_root()))
    if as_json:
        printing.show_json([asdict(each) for each in findings])
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for column in ("what", "state", "seen"):
            table.add_column(column, overflow="fold", no_wrap=column != "seen")
        for each in findings:
            seen = f"{each.seen}\n→ {each.remedy}" if each.remedy else each.seen
            table.add_row(each.what, Text(each.state, style=_COLOURS[each.state]), Text(seen))
        printing.show(table)
    if any(each.state == "missing" for each in findings):
        raise typer.Exit(1)
