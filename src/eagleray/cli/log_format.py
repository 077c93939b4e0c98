"""How stderr looks, lines for people or JSON objects for programs: by the environment, or by --log-format."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from eagleray import logs
from eagleray.errors import UserError

VARIABLE = "EAGLERAY_LOG_FORMAT"


def begin() -> None:
    """Do as the environment says: of every command, and before its options are looked at."""
    _choose(os.environ.get(VARIABLE) or None, source=VARIABLE)


def _choose(given: str | None, *, source: str = "--log-format") -> str | None:
    match given:
        case "json":
            logs.begin()
        case "text":
            logs.end()
        case str():
            raise UserError(f"{source} {given}: give text or json")
    return given


def _by_option(given: str | None) -> str | None:
    return _choose(given)


LogFormat = Annotated[
    str | None,
    typer.Option(
        "--log-format",
        metavar="text|json",
        # Before all others: what is wrong with those is told in this format.
        is_eager=True,
        callback=_by_option,
        help=f"How stderr looks: lines for people, or one JSON object a line. Else {VARIABLE}, else text.",
        show_default=False,
    ),
]
