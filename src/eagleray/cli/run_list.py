"""`eagleray runs list`: which runs there are, all of them or those that are asked for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eagleray.store.runs import RunRecord

_PHASES = ("pending", "running", "succeeded", "failed", "stopped")
_KINDS = ("FineTune", "Sweep")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def list_(
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="Only runs of this name; * stands for any letters. Repeatable."),
    ] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help=f"Only {' or '.join(_KINDS)}. Repeatable.")
    ] = None,
    phases: Annotated[
        list[str] | None,
        typer.Option("--phase", metavar="PHASE", help=f"Only {', '.join(_PHASES[:-1])} or {_PHASES[-1]}. Repeatable."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only runs that began since: 90m, 12h, 7d, or 2026-01-31 (UTC)."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first.

    \b
    Examples:
      eagleray runs list --phase running
      eagleray runs list --name 'reviews*' --since 7d --limit 20
    """
    began_after = moment(since, now=datetime.now(UTC)) if since is not None else None
    wanted_kinds = [_one_of(kind, _KINDS, option="--kind") for kind in kinds or ()]
    wanted_phases = [_one_of(phase, _PHASES, option="--phase") for phase in phases or ()]

    from eagleray.store import runs

    objects = storages.open_if_there(storage)
    there = runs.list_runs(objects) if objects else []
    records = chosen(there, names=names or (), kinds=wanted_kinds, phases=wanted_phases, since=began_after)[:limit]
    if as_json:
        printing.show_json([_listed(record) for record in records])
        return
    if not records:
        asked = f"none of the {len(there)} runs in {storages.uri(storage)} is as asked"
        typer.echo(asked if there else f"no runs in {storages.uri(storage)}", err=True)
        return
    from eagleray.cli.run_tables import runs_table

    printing.show(runs_table(records))


def chosen(
    records: Iterable[RunRecord],
    *,
    names: Sequence[str],
    kinds: Sequence[str],
    phases: Sequence[str],
    since: datetime | None,
) -> list[RunRecord]:
    """Those that are as each filter asks; an empty filter asks for nothing."""
    return [
        record
        for record in records
        if (not names or any(fnmatchcase(record.name, name) for name in names))
        and (not kinds or record.kind in kinds)
        and (not phases or record.phase in phases)
        and (since is None or record.started_at >= since)
    ]


def moment(text: str, *, now: datetime) -> datetime:
    """What `--since` means: so long before now, or a date with or without a time, in UTC where it names no zone."""
    span = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    try:
        if span is not None:
            return now - timedelta(seconds=int(span[1]) * _UNITS[span[2]])
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UserError(
            f"--since {text}: give a time before now such as 90m, 12h or 7d, or a date such as 2026-01-31 or "
            "2026-01-31T08:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _one_of(given: str, allowed: Sequence[str], *, option: str) -> str:
    """By its name in any case."""
    for each in allowed:
        if each.lower() == given.lower():
            return each
    raise UserError(f"{option} {given}: give one of {', '.join(allowed)}")


def _listed(record: RunRecord) -> dict[str, Any]:
    fields = {"run", "name", "kind", "phase", "started_at", "step", "metrics"}
    return record.model_dump(mode="json", include=fields)
