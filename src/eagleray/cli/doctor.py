"""`eagleray doctor`: what is here, and what is missing for which function."""

from __future__ import annotations

from dataclasses import asdict

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, Storage


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
        from eagleray.cli.findings_table import findings_table

        printing.show(findings_table(findings))
    if any(each.state == "error" for each in findings):
        raise typer.Exit(1)
