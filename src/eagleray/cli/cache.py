"""`eagleray cache`: what is kept to save time, and how to get the space back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli.options import AsJson
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.store.cache import CacheEntry

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List and prune what can be made again at any time.

    \b
    Example:
      eagleray cache list
    """


DEFAULT_OLDER_THAN_DAYS = 30.0


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the cache, what was unused for longest first.

    \b
    Example:
      eagleray cache list
    """
    from eagleray.store import cache

    root = cache.cache_root()
    found = cache.entries(root)
    if as_json:
        rows = [
            {
                "path": str(each.path),
                "kind": each.kind,
                "size_bytes": each.size_bytes,
                "used_at": each.used_at.isoformat(),
            }
            for each in found
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    if not found:
        typer.echo(f"the cache {root} is empty", err=True)
        return
    _print_table(found)


@app.command()
def prune(
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than", metavar="DAYS", min=0, help="Delete what was unused for so many days. Default: 30."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete everything.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what was not used lately.

    \b
    Example:
      eagleray cache prune --older-than 7
    """
    from rich.filesize import decimal

    from eagleray.cli import confirmation
    from eagleray.store import cache

    if everything and older_than is not None:
        raise UserError("--all and --older-than exclude each other: keep the one you mean")
    days = None if everything else DEFAULT_OLDER_THAN_DAYS if older_than is None else older_than
    root = cache.cache_root()
    what = "everything" if days is None else f"what was unused for {days:g} days"
    confirmation.ask(f"Delete {what} from {root}?", yes=yes)
    freed_bytes = cache.prune(older_than_days=days, now=datetime.now(UTC), root=root)
    if as_json:
        typer.echo(json.dumps({"root": str(root), "freed_bytes": freed_bytes}))
        return
    typer.echo(f"{freed_bytes} bytes freed ({decimal(freed_bytes)}) in {root}")


def _print_table(found: list[CacheEntry]) -> None:
    from rich.filesize import decimal
    from rich.table import Table

    from eagleray.cli import printing

    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("kind", footer="all", no_wrap=True)
    table.add_column("entry", overflow="fold")
    table.add_column("size", footer=decimal(sum(entry.size_bytes for entry in found)), justify="right", no_wrap=True)
    table.add_column("last used (UTC)", no_wrap=True)
    for entry in found:
        used_at = entry.used_at.strftime("%Y-%m-%d %H:%M")
        table.add_row(entry.kind, entry.path.name, decimal(entry.size_bytes), used_at)
    printing.show(table)
