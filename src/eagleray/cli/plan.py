"""`eagleray plan`: the document as a run would take it, with where each value came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from eagleray.cli.inputs import read_document
from eagleray.cli.options import AsJson, DocumentFile, Overrides, Storage

if TYPE_CHECKING:
    from eagleray.spec.document import Loaded


def plan(file: DocumentFile, overrides: Overrides = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """Check a document and print it with every value and its origin.

    Nothing is trained, downloaded or written. Everything that is wrong is reported at once, with its line; the exit
    code is then 2. Paths are printed as a run would open them: those in the document are relative to its folder.

    \b
    Examples:
      eagleray plan jobs/finetune/text-classification-cpu.yaml
      eagleray plan job.yaml --set train.learning_rate=3e-5 --set method.type=lora
      eagleray plan job.yaml --json | jq .document.spec.train
    """
    from eagleray.cli.resolved_text import render

    loaded = read_document(file, overrides=overrides, storage=storage)
    typer.echo(_json(loaded) if as_json else render(loaded.document, origins=loaded.origins))


def _json(loaded: Loaded) -> str:
    facts = {
        "document": loaded.document.model_dump(mode="json"),
        "origins": {path: asdict(origin) for path, origin in loaded.origins.items()},
        "path": str(loaded.path),
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)
