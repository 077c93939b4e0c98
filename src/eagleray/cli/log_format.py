"""The option --log-format: lines for people, or JSON objects for programs."""

from __future__ import annotations

from typing import Annotated

import typer

from eagleray import logs
from eagleray.errors import UserError

VARIABLE = "EAGLERAY_LOG_FORMAT"


def _choose(given: str) -> str:
    if given not in ("text", "json"):
        raise UserError(f"--log-format {given}: give text or json (also by {VARIABLE})")
    if given == "json":
        logs.begin()
    return given


LogFormat = Annotated[
    str,
    typer.Option(
        "--log-format",
        metavar="text|json",
        envvar=VARIABLE,
        show_envvar=False,
        # Before all others: what is wrong with those is told in this format.
        is_eager=True,
        callback=_choose,
        help=f"How stderr looks: lines for people, or one JSON object a line. Else {VARIABLE}, else text.",
        show_default=False,
    ),
]
