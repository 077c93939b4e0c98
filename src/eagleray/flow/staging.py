"""What of a document has to travel with a job: the document and the local files it names, and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eagleray.errors import UserError
from eagleray.spec import together
from eagleray.spec.data import DataSpec, resources, with_resources
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune

DOCUMENT = "document.yaml"
MAX_BYTES = 256 * 2**20
"""Ray refuses a working directory of more than 512 MiB; half of it already takes minutes to reach every node."""

GLOB = re.compile(r"[*?\[]")


def stage(document: FineTune, folder: Path) -> None:
    """Copy into `folder` the local files that a resolved document names, and the document that names the copies.

    Raises:
        UserError: a named file is missing, or all together are too large to travel with a job.
    """
    spec = document.spec
    place = _placer(folder)
    data = _placed(spec.data, "spec.data", place)
    stages = tuple(
        stage.model_copy(update={"data": _placed(stage.data, f"spec.stages.{number}.data", place)})
        for number, stage in enumerate(spec.stages)
    )
    model = spec.model.model_copy(update={"source": place("spec.model.source", spec.model.source)})
    staged_parts: dict[str, Any] = {"data": data, "stages": stages, "model": model}
    staged_parts["task"] = together.with_sources(spec.task, place)
    if spec.self_training is not None:
        unlabeled = place("spec.self_training.unlabeled", spec.self_training.unlabeled)
        staged_parts["self_training"] = spec.self_training.model_copy(update={"unlabeled": unlabeled})
    staged = document.model_copy(update={"spec": spec.model_copy(update=staged_parts)})
    (folder / DOCUMENT).write_text(dump(staged), encoding="utf-8")


def _placed(data: DataSpec, key: str, place: Callable[[str, str], str]) -> DataSpec:
    file = data.validation.file
    validation = {} if file is None else {"file": place(f"{key}.validation.file", file)}
    placed = data.model_copy(
        update={
            "train": None if data.train is None else place(f"{key}.train", data.train),
            "test": None if data.test is None else place(f"{key}.test", data.test),
            "validation": data.validation.model_copy(update=validation),
        }
    )
    read = {name: place(name, source) for name, source in resources(data, key).items()}
    return with_resources(placed, read, key)


def _placer(folder: Path) -> Callable[[str, str], str]:
    """Return the function that copies a source into `folder` and returns its new, relative name."""
    total = 0

    def place(key: str, source: str) -> str:
        nonlocal total
        if not Path(source).is_absolute():
            return source  # a URI, a package or a hub id: every node resolves it itself
        base, pattern = _split(Path(source))
        files = _files(key, source, base, pattern)
        total += sum(file.stat().st_size for file in files)
        if total > MAX_BYTES:
            raise UserError(
                f"{key}: {source} brings what the job would upload to {total / 2**20:.0f} MiB, more than "
                f"{MAX_BYTES / 2**20:.0f} MiB: put it on a shared mount, in a package (pkg://) or on the hub"
            )
        target = folder / re.sub(r"\W+", "-", key.removeprefix("spec."))
        for file in files:
            copy = target / file.relative_to(base)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(file, copy)
            except OSError as error:
                raise UserError(f"{key}: {file} cannot be copied for the upload: {error.strerror}") from error
        return f"{target.name}/{pattern}"

    return place


def _split(source: Path) -> tuple[Path, str]:
    """The folder that what a path or glob names lies below, and the rest of it."""
    if source.exists():
        return source.parent, source.name
    first = next((number for number, part in enumerate(source.parts) if GLOB.search(part)), len(source.parts) - 1)
    return Path(*source.parts[:first]), "/".join(source.parts[first:])


def _files(key: str, source: str, base: Path, pattern: str) -> list[Path]:
    """The files of a path, directory or glob."""
    named = [Path(source)] if Path(source).exists() else sorted(base.glob(pattern))
    found = [file for each in named for file in ([each] if each.is_file() else sorted(each.rglob("*")))]
    files = [file for file in found if file.is_file()]
    if not files:
        raise UserError(f"{key}: {source} is not here, so it cannot be uploaded: check the path")
    return files
