"""`eagleray checkpoints`: which there are, whether they are whole, and what can be made of one."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, RunName, Storage
from eagleray.errors import StorageError, UserError

if TYPE_CHECKING:
    from eagleray.store.checkpoints import CheckpointId, Manifest
    from eagleray.store.objects import Objects
    from eagleray.store.runs import RunRecord

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List, verify, export and reshape the checkpoints of a run.

    \b
    Example:
      eagleray checkpoints list reviews-0001
    """


Step = Annotated[int | None, typer.Option("--step", metavar="N", min=0, help="The checkpoint after this step.")]


@app.command("list")
def list_(run: RunName, storage: Storage = None, as_json: AsJson = False) -> None:
    """List the checkpoints of a run, by step.

    \b
    Example:
      eagleray checkpoints list reviews-0001
    """
    from eagleray.store import checkpoints

    objects, record = _find(run, storage)
    manifests = checkpoints.list_manifests(objects, record.run)
    if as_json:
        printing.show_json(
            [{**each.model_dump(mode="json"), "is_best": each.step == record.best_step} for each in manifests]
        )
        return
    if not manifests:
        typer.echo(f"{record.run} has no checkpoint", err=True)
        return
    from eagleray.cli.run_tables import checkpoints_table

    printing.show(checkpoints_table(manifests, record.best_step))


@app.command()
def verify(run: RunName, step: Step = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """Read every file of the checkpoints, or of one, and compare size and hash with the manifest.

    Ends with 1 where one is damaged.

    \b
    Examples:
      eagleray checkpoints verify reviews-0001
      eagleray checkpoints verify reviews-0001 --step 300
    """
    from eagleray.store import checkpoints

    objects, record = _find(run, storage)
    found = {each: checkpoints.verify(objects, record.run, each) for each in _committed(objects, record.run, step)}
    if as_json:
        printing.show_json([{**each.model_dump(), "problems": problems} for each, problems in found.items()])
    else:
        typer.echo("\n".join(_verified(each, problems) for each, problems in found.items()))
    if any(found.values()):
        raise typer.Exit(1)


@app.command()
def export(
    run: RunName,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to: a directory that is empty or not there.")],
    step: Step = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Write a whole model: an adapter merged into its base, in fp32.")
    ] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Copy what `from_pretrained` loads, without the training state: of the best checkpoint, else of the newest.

    \b
    Example:
      eagleray checkpoints export reviews-0001 --to ./model
      eagleray checkpoints export reviews-0001 --to ./whole --merge
    """
    from rich.filesize import decimal

    from eagleray.store import paths

    objects, record = _find(run, storage)
    manifest = _chosen(objects, record, step=step, prefers_best=True)
    names = [entry.path for entry in manifest.files if not paths.is_state(entry.path)]
    _download(objects, manifest, names, to, merges=merge)
    files = [file for file in to.rglob("*") if file.is_file()]
    size_bytes = sum(file.stat().st_size for file in files)
    if as_json:
        printing.show_json({**_told(manifest), "directory": str(to), "size_bytes": size_bytes})
        return
    typer.echo(f"exported step {manifest.step} of {manifest.run} to {to}: {len(files)} files, {decimal(size_bytes)}")


@app.command()
def reshape(
    run: RunName,
    num_workers: Annotated[
        int, typer.Option("--num-workers", metavar="N", min=1, help="How many workers the new checkpoint is cut for.")
    ],
    step: Step = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint, the newest where none is named, anew for another number of workers.

    Not needed to go on: a run takes up its checkpoint with any number of workers, at any ZeRO stage. The run must not
    be going on.

    \b
    Example:
      eagleray checkpoints reshape reviews-0001 --num-workers 4
    """
    from eagleray.flow.reshape import reshape as rewrite

    objects, record = _find(run, storage)
    source = _chosen(objects, record, step=step, prefers_best=False)
    made = rewrite(objects, source, num_workers=num_workers, on_trouble=partial(printing.say, err=True))
    if as_json:
        printing.show_json({**_told(made), "num_workers": made.world_size})
        return
    typer.echo(
        f"step {made.step} of {made.run} is cut for {made.world_size} workers now, it was for {source.world_size}"
    )


def _find(run: str, storage: str | None) -> tuple[Objects, RunRecord]:
    from eagleray.store import runs

    objects = storages.open_there(storage)
    return objects, runs.find(objects, run)


def _committed(objects: Objects, run: str, step: int | None) -> list[CheckpointId]:
    from eagleray.store import checkpoints

    committed = checkpoints.list_committed(objects, run)
    wanted = [each for each in committed if step in (None, each.step)]
    if not wanted:
        there = ", ".join(str(each.step) for each in committed)
        raise UserError(f"run {run} has no checkpoint of step {step}: there are {there}" if there else _none(run))
    return wanted


def _chosen(objects: Objects, record: RunRecord, *, step: int | None, prefers_best: bool) -> Manifest:
    from eagleray.store import checkpoints

    if step is not None:
        return checkpoints.find(objects, record.run, step)
    manifests = checkpoints.list_manifests(objects, record.run)
    if not manifests:
        raise UserError(_none(record.run))
    best = [each for each in manifests if each.step == record.best_step]
    return best[0] if best and prefers_best else manifests[-1]


def _none(run: str) -> str:
    return f"run {run} has no checkpoint: it is saved after every checkpoint.every_steps steps"


def _download(objects: Objects, manifest: Manifest, names: list[str], to: Path, *, merges: bool) -> None:
    """Copy files into a directory that appears with all of them, or with the whole model that is made of them."""
    from eagleray.store import checkpoints, refusals

    if not names:
        raise UserError(f"the checkpoint of step {manifest.step} holds no model, only training state: take another")
    try:
        if to.exists() and not (to.is_dir() and next(to.iterdir(), None) is None):
            raise UserError(f"--to {to}: it is not empty: give a directory that is empty or not there")
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as scratch:
            checkpoints.fetch(objects, manifest, names, Path(scratch) / "model")
            if merges:
                from eagleray.flow.merging import merge

                merge(Path(scratch) / "model", Path(scratch) / "whole")
            (Path(scratch) / ("whole" if merges else "model")).replace(to)
    except OSError as error:
        raise StorageError(f"--to {to}: cannot write: {refusals.explain(error)}") from error


def _verified(checkpoint: CheckpointId, problems: list[str]) -> str:
    return "\n  ".join([f"step {checkpoint.step}  {'DAMAGED' if problems else 'whole'}", *problems])


def _told(manifest: Manifest) -> dict[str, Any]:
    return {"run": manifest.run, "step": manifest.step, "lease": manifest.lease}
