"""`eagleray plan`: does it fit, how long, what does it cost, what will happen?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli import printing
from eagleray.cli.inputs import read_document, storage_of
from eagleray.cli.options import AsJson, DocumentFile, Overrides, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.flow.plan import Plan
    from eagleray.spec.document import Loaded


def plan(
    file: DocumentFile,
    overrides: Overrides = None,
    storage: Storage = None,
    document: Annotated[
        bool, typer.Option("--document", help="Print the document instead, each value with where it came from.")
    ] = False,
    preflight: Annotated[
        bool,
        typer.Option("--preflight", help="Ask each machine that it would run on instead: storage, versions, clocks."),
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Take a few real steps on the real workers, and tell the time by them.")
    ] = False,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", help="A YAML file of what a device costs an hour, as `H100: 2.9`."),
    ] = None,
    accelerator: Annotated[
        str | None, typer.Option("--accelerator", help="Which device of the price table; left out: what is found.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a document takes, before anything is taken: memory, steps, storage, time, money.

    Weights are counted without loading them; the data are tokenised as the run would, which finds them in the cache.
    Nothing else is done unless --probe asks for it. Everything that is wrong with the document is reported at once,
    with its line; the exit code is then 2.

    \b
    Examples:
      eagleray plan jobs/finetune/text-classification-cpu.yaml
      eagleray plan job.yaml --set method.type=lora --probe --prices prices.yaml
      eagleray plan job.yaml --document --json | jq .document.spec.train
      RAY_ADDRESS=10.0.0.1:6379 eagleray plan job.yaml --preflight
    """
    loaded = read_document(file, overrides=overrides, storage=storage)
    if sum((document, preflight, probe)) > 1:
        raise UserError("--document, --preflight and --probe exclude each other: each prints something else")
    if document:
        _show_document(loaded, as_json=as_json)
    elif preflight:
        _ask_machines(loaded, as_json=as_json)
    else:
        made = made_plan(loaded, probes=probe, prices=prices, accelerator=accelerator)
        show_plan(made, loaded, as_json=as_json)


def made_plan(
    loaded: Loaded, *, probes: bool = False, prices: Path | None = None, accelerator: str | None = None
) -> Plan:
    """The plan of a document, made while a live line says what is being done."""
    from eagleray.cli.progress import RunView
    from eagleray.cli.screen import Screen
    from eagleray.train import garbage, ray_environment

    garbage.collect_rarely()
    with RunView(Screen(stderr=True)) as view:
        ray_environment.prepare()
        from eagleray.flow import plan as planning
        from eagleray.store.cache import cache_root

        return planning.make(
            loaded.document,
            storage=storage_of(loaded.document),
            cache_dir=cache_root(),
            view=view,
            probes=probes,
            prices=prices,
            accelerator=accelerator,
        )


def show_plan(made: Plan, loaded: Loaded, *, as_json: bool = False) -> None:
    """Print a plan."""
    if as_json:
        facts = asdict(made)
        facts["estimate"]["data"] = made.estimate.data.model_dump(mode="json")
        for way, option in zip(facts["estimate"]["memory"], made.estimate.memory, strict=True):
            way["zero"] = option.zero.model_dump(mode="json")
        printing.show_json(_document_facts(loaded) | facts)
        return
    from eagleray.cli.plan_text import parts

    printing.show(*parts(made))


def _show_document(loaded: Loaded, *, as_json: bool) -> None:
    from eagleray.cli.resolved_text import render

    if as_json:
        printing.show_json(_document_facts(loaded))
    else:
        typer.echo(render(loaded.document, origins=loaded.origins))


def _ask_machines(loaded: Loaded, *, as_json: bool) -> None:
    from contextlib import ExitStack

    from eagleray.cli.findings_table import findings_table
    from eagleray.train import ray_environment

    ray_environment.prepare()
    from eagleray.flow import machines
    from eagleray.store.objects import open_storage

    storage = storage_of(loaded.document)
    with ExitStack() as stack:
        findings = list(machines.examine(loaded.document, open_storage(storage), storage=storage, stack=stack))
    if as_json:
        printing.show_json([asdict(each) for each in findings])
    else:
        printing.show(findings_table(findings))
    if any(each.state == "error" for each in findings):
        raise typer.Exit(2)


def _document_facts(loaded: Loaded) -> dict[str, Any]:
    return {
        "document": loaded.document.model_dump(mode="json"),
        "origins": {path: asdict(origin) for path, origin in loaded.origins.items()},
        "path": str(loaded.path),
    }
