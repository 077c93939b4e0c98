"""The arguments and options that several commands share, so that a word means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eagleray.errors import UserError

DocumentFile = Annotated[Path, typer.Argument(metavar="FILE", help="The document, a YAML file.", show_default=False)]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of the document, as train.learning_rate=3e-5. The key is relative to `spec`, the value "
        "is YAML. May be given several times.",
        show_default=False,
    ),
]

Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URI",
        help="Where everything is written and read: a directory, s3://bucket/prefix, gs://… or az://…. "
        "Else EAGLERAY_STORAGE, else the document's, else ./runs.",
        show_default=False,
    ),
]


def _step(given: str) -> str:
    from eagleray.flow.steps import STEPS

    if given not in STEPS:
        raise UserError(f"--until {given}: give one of {', '.join(STEPS)}")
    return given


Until = Annotated[
    str,
    typer.Option(
        "--until", metavar="STEP", help="Stop after this step of `up`.", show_default="the last one", callback=_step
    ),
]


def refuse_both(*, fork: bool, new: bool) -> None:
    """Raise UserError where both are given."""
    if fork and new:
        raise UserError("--fork and --new exclude each other: keep the one you mean")


RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run id, or a name for its newest succeeded run.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
