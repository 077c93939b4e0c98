"""`eagleray models export`: a version leaves the registry, as it is or in another form."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.aliases import ModelReference
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import StorageError, UserError

if TYPE_CHECKING:
    from eagleray.flow.formats import Parity
    from eagleray.store.lineage import VersionRecord
    from eagleray.store.objects import Objects


Form = Literal["files", "safetensors", "onnx", "torch-export"]


def export(
    model: ModelReference,
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Where to: a directory that is empty or not there.")
    ],
    form: Annotated[
        Form,
        typer.Option(
            "--to",
            help="files: as registered. safetensors: a whole model, an adapter merged into its base. onnx, "
            "torch-export: a program that runs without transformers.",
        ),
    ] = "files",
    int8: Annotated[bool, typer.Option("--int8", help="With `--to onnx` a file of 8-bit weights besides.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write a version into a directory, which appears with all of it. What is copied is checked by its hash, what is
    converted by the answers to the version's golden rows.

    \b
    Examples:
      eagleray models export reviews@champion ./model
      eagleray models export reviews@champion ./onnx --to onnx --int8
    """
    from rich.filesize import decimal

    from eagleray.store import references, registry

    if int8 and form != "onnx":
        raise UserError(f"--int8: is for `--to onnx`, not for {form}: leave it out")
    objects = storages.open_there(storage)
    record = registry.resolve(objects, references.parse(model))
    parities = _written(objects, record, directory, form=form, int8=int8)
    files = [file for file in directory.rglob("*") if file.is_file()]
    size_bytes = sum(file.stat().st_size for file in files)
    if as_json:
        told = {"name": record.name, "version": record.version, "directory": str(directory), "size_bytes": size_bytes}
        more = {} if form == "files" else {"form": form, "parity": [asdict(each) for each in parities]}
        printing.show_json({**told, **more})
        return
    typer.echo(f"exported {record.name}@{record.version} to {directory}: {len(files)} files, {decimal(size_bytes)}")
    for each in parities:
        typer.echo(
            f"{each.file}: same answer to {each.agreement:.1%}, the largest difference is {each.max_difference:.2g}",
            err=True,
        )


def _written(objects: Objects, record: VersionRecord, directory: Path, *, form: Form, int8: bool) -> Sequence[Parity]:
    """Write into a directory that appears with all of it."""
    from eagleray.store import refusals, registry

    parities: Sequence[Parity] = ()
    try:
        to = directory.resolve()
        if to.exists() and not (to.is_dir() and next(to.iterdir(), None) is None):
            raise UserError(f"{directory}: it is not empty: give a directory that is empty or not there")
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as scratch:
            # Below it, as the temporary directory itself is closed to everybody else.
            whole = Path(scratch) / "model"
            registry.fetch(objects, record, whole)
            if form != "files":
                from eagleray.flow import formats

                converted = Path(scratch) / "converted"
                golden = registry.golden(objects, record)
                parities = formats.write(
                    whole, golden, converted, form=form, int8=int8, say=partial(printing.say, err=True)
                )
                whole = converted
            whole.replace(to)
    except OSError as error:
        raise StorageError(f"{directory}: cannot write: {refusals.explain(error)}") from error
    return parities
