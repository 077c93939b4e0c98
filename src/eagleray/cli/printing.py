"""How facts look on stdout: moments, numbers, tables for people; JSON for programs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from eagleray.cli.visible import visible, visible_json

if TYPE_CHECKING:
    from rich.table import Table

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def moment(at: datetime) -> str:
    """To the minute, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def number(value: Any) -> str:
    """Four digits of a number; empty for anything else."""
    return f"{value:.4g}" if isinstance(value, int | float) else ""


def show(*parts: Table | str) -> None:
    """Print tables and lines as they are, without markup."""
    from eagleray.cli.screen import Screen

    console = Screen()
    for part in parts:
        console.print(part, markup=False, highlight=False)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text that may hold what others wrote."""
    typer.echo(visible(text), err=err, nl=nl)


def say_log(lines: str) -> None:
    """Print what others log, with its own ends of lines, as of progress; without colours, which Ray's prefixes have."""
    typer.echo("\r".join(map(visible, _COLOUR.sub("", lines).split("\r"))), nl=False)


def show_json(value: Any) -> None:
    """Print JSON."""
    typer.echo(visible_json(json.dumps(value, indent=2, ensure_ascii=False)))
