"""The final model of a run: the best checkpoint's files that `from_pretrained` loads, if whole, and a card."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from eagleray.errors import StorageError
from eagleray.model import export
from eagleray.store import checkpoints, paths
from eagleray.store.checkpoints import CheckpointDamaged, CheckpointId, Manifest
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.patience import persist
from eagleray.store.records import Damaged
from eagleray.store.scratch import scratch_directory


def fetch_whole(
    objects: Objects,
    run: str,
    ranked: Iterable[CheckpointId],
    to: Callable[[CheckpointId], Path],
    *,
    on_damaged: Callable[[CheckpointId, str], None],
    on_trouble: Callable[[StorageError], None],
) -> CheckpointId:
    """Copy the model's files of the first of `ranked` checkpoints that is whole into its directory; returns which.

    `on_damaged` is told of each that is passed over, and what is wrong with it.

    Raises:
        CheckpointDamaged: none is whole.
    """
    problems = []
    for each in ranked:
        try:
            persist(partial(_fetch_model, objects, run, each, to(each)), on_trouble=on_trouble)
            return each
        except (Damaged, ObjectMissing) as error:
            problems.append(str(error))
            on_damaged(each, str(error))
    raise CheckpointDamaged(
        f"{objects.uri}: no checkpoint of run {run} has a whole model; of the best one: {problems[0]}. "
        "Restore the file from a copy and run the same command again, or train anew with --new"
    )


def put_model(
    objects: Objects, run: str, directory: Path, *, card: str, on_trouble: Callable[[StorageError], None]
) -> None:
    """Store the files of a directory, and the card with them, as the final model of a run."""
    (directory / "README.md").write_text(card, encoding="utf-8")
    files = [file for file in sorted(directory.rglob("*")) if file.is_file()]
    # The description comes last: `predict` looks for it, so a half-written model is no model.
    for file in sorted(files, key=lambda file: file == directory / export.DESCRIPTION_FILE):
        key = f"{paths.model(run)}/{file.relative_to(directory).as_posix()}"
        persist(partial(objects.upload, key, file), on_trouble=on_trouble)


def adopt(
    source: Objects,
    manifest: Manifest,
    objects: Objects,
    run: str,
    *,
    card: str,
    check: Callable[[], None],
    on_trouble: Callable[[StorageError], None],
) -> None:
    """Make a checkpoint of another run, perhaps on another storage, a checkpoint of this one, and its final model.

    Raises:
        CheckpointDamaged: a file is missing, or not as the manifest says.
        LeaseLost: `check` says so.
    """
    with scratch_directory("publication") as directory:
        names = [entry.path for entry in manifest.files]
        persist(lambda: checkpoints.fetch(source, manifest, names, directory), on_trouble=on_trouble)
        for entry in manifest.files:
            path = directory / entry.path
            persist(partial(checkpoints.put_file, objects, run, manifest.id, entry, path), on_trouble=on_trouble)
        adopted = manifest.model_copy(update={"run": run, "parent": None})
        persist(lambda: checkpoints.commit(objects, adopted, check=check), on_trouble=on_trouble)
        for entry in manifest.files:
            if paths.is_state(entry.path):
                (directory / entry.path).unlink()
        put_model(objects, run, directory, card=card, on_trouble=on_trouble)


def _fetch_model(objects: Objects, run: str, checkpoint: CheckpointId, to: Path) -> None:
    manifest = checkpoints.read(objects, run, checkpoint)
    names = [entry.path for entry in manifest.files if not paths.is_state(entry.path)]
    checkpoints.fetch(objects, manifest, names, to)
