"""`eagleray plan`: the document as a run would take it, with where each value came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import printing
from eagleray.cli.inputs import read_document
from eagleray.cli.options import AsJson, DocumentFile, Overrides, Storage

if TYPE_CHECKING:
    from eagleray.spec.document import Loaded


def plan(
    file: DocumentFile,
    overrides: Overrides = None,
    storage: Storage = None,
    preflight: Annotated[
        bool,
        typer.Option("--preflight", help="Ask each machine that it would run on instead: storage, versions, clocks."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a document and print it with every value and its origin.

    Nothing is trained, downloaded or written. Everything that is wrong is reported at once, with its line; the exit
    code is then 2. Paths are printed as a run would open them: those in the document are relative to its folder.

    \b
    Examples:
      eagleray plan jobs/finetune/text-classification-cpu.yaml
      eagleray plan job.yaml --set train.learning_rate=3e-5 --set method.type=lora
      eagleray plan job.yaml --json | jq .document.spec.train
      RAY_ADDRESS=10.0.0.1:6379 eagleray plan job.yaml --preflight
    """
    from eagleray.cli.resolved_text import render

    loaded = read_document(file, overrides=overrides, storage=storage)
    if preflight:
        _ask_machines(loaded, as_json=as_json)
        return
    typer.echo(_json(loaded) if as_json else render(loaded.document, origins=loaded.origins))


def _ask_machines(loaded: Loaded, *, as_json: bool) -> None:
    from contextlib import ExitStack

    from eagleray.cli.findings_table import findings_table
    from eagleray.train import ray_environment

    ray_environment.prepare()
    from eagleray.flow import machines
    from eagleray.store.objects import open_storage

    storage = loaded.document.spec.storage or "./runs"
    with ExitStack() as stack:
        findings = list(machines.examine(loaded.document, open_storage(storage), storage=storage, stack=stack))
    if as_json:
        printing.show_json([asdict(each) for each in findings])
    else:
        printing.show(findings_table(findings))
    if any(each.state == "error" for each in findings):
        raise typer.Exit(2)


def _json(loaded: Loaded) -> str:
    facts = {
        "document": loaded.document.model_dump(mode="json"),
        "origins": {path: asdict(origin) for path, origin in loaded.origins.items()},
        "path": str(loaded.path),
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)
