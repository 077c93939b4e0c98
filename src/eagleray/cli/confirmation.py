"""Whether the user really wants what cannot be undone."""

from __future__ import annotations

import sys

import typer

from eagleray.errors import UserError


def ask(question: str, *, yes: bool) -> None:
    """Return if the answer is yes. Raises typer.Abort if it is no, UserError if nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{question} Nobody can be asked here: add --yes to do it")
    typer.confirm(question, abort=True, err=True)
