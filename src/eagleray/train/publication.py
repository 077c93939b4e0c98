"""The final model of a run: the files of a checkpoint that `from_pretrained` loads, and a card."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from eagleray.errors import StorageError
from eagleray.model import export
from eagleray.store import checkpoints, paths
from eagleray.store.checkpoints import Manifest
from eagleray.store.objects import Objects
from eagleray.store.patience import persist


def put_model(
    objects: Objects, run: str, directory: Path, *, card: str, on_trouble: Callable[[StorageError], None]
) -> None:
    """Store the files of a directory, and the card with them, as the final model of a run."""
    (directory / "README.md").write_text(card, encoding="utf-8")
    files = [file for file in sorted(directory.rglob("*")) if file.is_file()]
    # The description comes last: `predict` looks for it, so a half-written model is no model.
    for file in sorted(files, key=lambda file: file.name == export.DESCRIPTION_FILE):
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
    with tempfile.TemporaryDirectory(prefix="eagleray-") as scratch:
        directory = Path(scratch)
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
