"""Manifests as a folder that `kubectl apply -k` takes: one file an object, and which files belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from eagleray.errors import UserError
from eagleray.kube import manifests, yaml_text
from eagleray.kube.target import Manifest

INDEX: Final = "kustomization.yaml"
_DRAFT: Final = ".part"
_MARK: Final = "# Written by `eagleray render`.\n"


def write(folder: Path, found: Sequence[Manifest]) -> list[Path]:
    """Write each object, then the index that names them, then delete what an earlier index named and this does not.

    Killed in between, the folder holds either index with all the files that it names. Raises UserError where other
    files lie in it.
    """
    files = {manifests.file_name(manifest): yaml_text.dump(manifest) for manifest in found}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = _earlier(folder)
        for name, text in sorted(files.items()):
            _put(folder / name, text)
        index = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
        _put(folder / INDEX, _MARK + yaml_text.dump(index))
        for name in earlier - set(files):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written: {error.strerror}") from error
    return [folder / name for name in (*sorted(files), INDEX)]


def _earlier(folder: Path) -> set[str]:
    """The files that an earlier index names. Raises UserError for files of somebody else."""
    index = folder / INDEX
    text = index.read_text(encoding="utf-8") if index.is_file() else ""
    is_ours = text.startswith(_MARK)
    named = set(yaml.safe_load(text)["resources"]) if is_ours else set()
    there = {entry.name for entry in folder.iterdir() if not _is_draft(entry.name)}
    if others := sorted(there - named - ({INDEX} if is_ours else set())):
        raise UserError(f"--out {folder}: holds {others[0]}, which `render` has not written: give an empty directory")
    return named & there


def _put(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}{_DRAFT}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _is_draft(name: str) -> bool:
    """Whether a write that was killed has left it; the next one writes over it."""
    return name.startswith(".") and name.endswith(_DRAFT)
