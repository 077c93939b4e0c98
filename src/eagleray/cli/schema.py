"""`eagleray schema`: the JSON schema of a document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from eagleray.errors import UserError

OutFile = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it to a file.", show_default=False)]


def schema(out: OutFile = None) -> None:
    """Print the JSON schema of a document.

    With it an editor completes and checks documents as you type: begin a document with the line
    `# yaml-language-server: $schema=PATH`.

    \b
    Examples:
      eagleray schema
      eagleray schema --out document.schema.json
    """
    from eagleray.spec import json_schema

    text = json.dumps(json_schema.schema(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
