"""`eagleray keys`: who may call the endpoints."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.store.keys import KeyHome, KeyRecord, Scope

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make, list and revoke the API keys of endpoints.

    \b
    Example:
      eagleray keys create laptop
    """


KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Who has the key: lower-case letters, digits and '-'.")]

File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Keep the keys in this JSON file, not on the storage."),
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@app.command()
def create(
    name: KeyName,
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="predict|admin", help="What it may do; may be given several times. Default: predict."
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long it works, such as 30d or 12h.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="N", min=1, help="The most requests a minute, by all of NAME's keys."),
    ] = None,
    file: File = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    A name that has keys gets one more; the others work until they are revoked.

    \b
    Examples:
      eagleray keys create laptop
      eagleray keys create shop --scope predict --expires 30d --rate 600
    """
    from eagleray.store import keys

    now = datetime.now(UTC)
    made = keys.create(
        _home_to_make(file, storage),
        name,
        now=now,
        scopes=tuple(map(_scope, dict.fromkeys(scopes or ["predict"]))),
        expires_at=_end(expires, now),
        requests_per_minute=rate,
    )
    if as_json:
        fields = made.record.model_dump(mode="json", include={"name", "scopes", "expires_at"})
        printing.show_json({"name": name, "key": made.text, **fields})
        return
    typer.echo(_about(made.record), err=True)
    typer.echo(made.text)


@app.command("list")
def list_(file: File = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """List the keys: who has them and what they may do. Neither keys nor hashes are shown.

    \b
    Example:
      eagleray keys list
    """
    home, now = _home_if_there(file, storage), datetime.now(UTC)
    kept = home.records() if home else []
    if as_json:
        printing.show_json([_listed(record, now) for record in kept])
        return
    if not kept:
        typer.echo(f"no keys in {file or storages.uri(storage)}", err=True)
        return
    _print_table(kept, now)


@app.command()
def revoke(
    name: KeyName,
    number: Annotated[
        int | None, typer.Option("--number", metavar="N", help="Only this one of the name's keys.")
    ] = None,
    file: File = None,
    storage: Storage = None,
) -> None:
    """Revoke the keys of a name. Endpoints refuse them within 10 seconds.

    \b
    Examples:
      eagleray keys revoke laptop
      eagleray keys revoke laptop --number 1
    """
    from eagleray.store import keys

    home = _home_if_there(file, storage)
    if home is None:
        raise UserError(f"there is no directory {storages.uri(storage)}: give the keys' --storage or --file")
    revoked = keys.revoke(home, name, number=number, now=datetime.now(UTC))
    if not revoked:
        typer.echo(f"{name} is revoked already", err=True)
    for record in revoked:
        typer.echo(f"revoked {record.name}, key {record.number}")


def _home_to_make(file: Path | None, storage: str | None) -> KeyHome:
    from eagleray.store.key_homes import FileKeys, StoredKeys
    from eagleray.store.objects import open_storage

    _check_one(file, storage)
    return FileKeys(file) if file else StoredKeys(open_storage(storages.uri(storage)))


def _home_if_there(file: Path | None, storage: str | None) -> KeyHome | None:
    from eagleray.store.key_homes import FileKeys, StoredKeys

    _check_one(file, storage)
    if file:
        return FileKeys(file)
    objects = storages.open_if_there(storage)
    return StoredKeys(objects) if objects else None


def _check_one(file: Path | None, storage: str | None) -> None:
    if file and storage is not None:
        raise UserError("--file and --storage exclude each other: keep the one where the keys are")


def _scope(given: str) -> Scope:
    match given:
        case "predict" | "admin":
            return given
    raise UserError(f"--scope {given}: give predict or admin")


def _end(expires: str | None, now: datetime) -> datetime | None:
    if expires is None:
        return None
    given = re.fullmatch(r"([1-9][0-9]{0,4})([smhdw])", expires)  # at most some 1900 years, which a datetime can hold
    if given is None:
        raise UserError(f"--expires {expires}: give a number below 100000 and s, m, h, d or w, such as 12h or 30d")
    return now + timedelta(seconds=int(given[1]) * _UNITS[given[2]])


def _about(record: KeyRecord) -> str:
    until = f"until {printing.moment(record.expires_at)} UTC" if record.expires_at else "until it is revoked"
    return (
        f"key {record.number} of {record.name} ({', '.join(record.scopes)}) works {until}; "
        "it is shown this once, keep it safe:"
    )


def _listed(record: KeyRecord, now: datetime) -> dict[str, Any]:
    return {**record.model_dump(mode="json", exclude={"sha256"}), "state": record.state(now)}


def _print_table(kept: list[KeyRecord], now: datetime) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("key", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("scopes", overflow="fold")
    table.add_column("a minute", justify="right", no_wrap=True)
    table.add_column("created (UTC)", no_wrap=True)
    table.add_column("ends (UTC)", no_wrap=True)
    for record in kept:
        ends_at = record.revoked_at or record.expires_at
        table.add_row(
            record.name,
            str(record.number),
            record.state(now),
            " ".join(record.scopes),
            f"{record.requests_per_minute:g}" if record.requests_per_minute else "",
            printing.moment(record.created_at),
            printing.moment(ends_at) if ends_at else "",
        )
    printing.show(table)
