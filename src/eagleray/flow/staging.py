"""What of a document has to travel with a job: the document and the local files it names, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagleray.data.sources import files_of_rows
from eagleray.errors import UserError
from eagleray.spec import locations, metrics, together
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
    place = _Placer(folder)
    data = _placed(spec.data, "spec.data", place, files=spec.task.content.files)
    stages = tuple(
        stage.model_copy(
            update={"data": _placed(stage.data, f"spec.stages.{number}.data", place, files=stage.task.content.files)}
        )
        for number, stage in enumerate(spec.stages)
    )
    model = spec.model.model_copy(update={"source": place("spec.model.source", spec.model.source)})
    moved = {key: place(key, file) for key, file in metrics.files(spec.metrics).items()}
    own = metrics.with_files(spec.metrics, moved)
    staged_parts: dict[str, Any] = {"data": data, "stages": stages, "model": model, "metrics": own}
    staged_parts["task"] = together.with_sources(spec.task, place)
    if spec.self_training is not None:
        unlabeled = place("spec.self_training.unlabeled", spec.self_training.unlabeled)
        staged_parts["self_training"] = spec.self_training.model_copy(update={"unlabeled": unlabeled})
    staged = document.model_copy(update={"spec": spec.model_copy(update=staged_parts)})
    (folder / DOCUMENT).write_text(dump(staged), encoding="utf-8")


def _placed(data: DataSpec, key: str, place: _Placer, *, files: tuple[str, ...]) -> DataSpec:
    """`files`: columns of its rows that name files."""
    file = data.validation.file
    validation = {} if file is None else {"file": place.table(f"{key}.validation.file", file, files)}
    placed = data.model_copy(
        update={
            "train": None if data.train is None else place.table(f"{key}.train", data.train, files),
            "test": None if data.test is None else place.table(f"{key}.test", data.test, files),
            "validation": data.validation.model_copy(update=validation),
        }
    )
    read = {name: place(name, source) for name, source in resources(data, key).items()}
    return with_resources(placed, read, key)


@dataclass(slots=True)
class _Placer:
    """Copies a source into `folder` and returns its new, relative name; one that every node resolves stays."""

    folder: Path
    total_bytes: int = 0

    def __call__(self, key: str, source: str) -> str:
        if not Path(source).is_absolute():
            return source  # a URI, a package or a hub id
        base, pattern = _split(Path(source))
        self._copy(key, source, _files(key, source, base, pattern), base)
        return f"{self._target(key).name}/{pattern}"

    def table(self, key: str, source: str, columns: tuple[str, ...]) -> str:
        """Also the files that its rows name in `columns`, beside it as they were."""
        placed = self(key, source)
        if not columns or placed == source or Path(source).is_dir():
            return placed
        base, _ = _split(Path(source))
        split = "validation" if key.endswith(".validation.file") else key.rsplit(".", 1)[-1]
        named = [file for file in files_of_rows(source, split=split, columns=columns) if file.is_file()]
        files = [Path(os.path.normpath(file)) for file in dict.fromkeys(named)]
        outside = next((file for file in files if not file.is_relative_to(base)), None)
        if outside is not None:
            raise UserError(
                f"{key}: {source} names {outside}, which lies outside {base} and so cannot travel with it: put "
                "what a table names below the table's folder"
            )
        _check_links(key, files, base)
        self._copy(key, source, files, base)
        return placed

    def _copy(self, key: str, source: str, files: list[Path], base: Path) -> None:
        self.total_bytes += sum(file.stat().st_size for file in files)
        if self.total_bytes > MAX_BYTES:
            raise UserError(
                f"{key}: {source} brings what the job would upload to {self.total_bytes / 2**20:.0f} MiB, more than "
                f"{MAX_BYTES / 2**20:.0f} MiB: put it on a shared mount, in a package (pkg://) or on the hub"
            )
        for file in files:
            copy = self._target(key) / file.relative_to(base)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(file, copy)
            except OSError as error:
                raise UserError(f"{key}: {file} cannot be copied for the upload: {error.strerror}") from error

    def _target(self, key: str) -> Path:
        return self.folder / re.sub(r"\W+", "-", key.removeprefix("spec."))


def _check_links(key: str, files: list[Path], source: Path) -> None:
    for file in files:
        if (problem := locations.link_out(file, source, is_model=locations.is_model(key))) is not None:
            raise UserError(f"{key}: {problem}")


def _split(source: Path) -> tuple[Path, str]:
    """The folder that what a path or glob names lies below, and the rest of it."""
    if source.exists():
        return source.parent, source.name
    first = next((number for number, part in enumerate(source.parts) if GLOB.search(part)), len(source.parts) - 1)
    return Path(*source.parts[:first]), "/".join(source.parts[first:])


def _files(key: str, source: str, base: Path, pattern: str) -> list[Path]:
    """The files of a path, directory or glob."""
    is_there = Path(source).exists()
    named = [Path(source)] if is_there else sorted(base.glob(pattern))
    found = [file for each in named for file in ([each] if each.is_file() else sorted(each.rglob("*")))]
    _check_links(key, found, Path(source) if is_there else base)
    files = [file for file in found if file.is_file()]
    if not files:
        raise UserError(f"{key}: {source} is not here, so it cannot be uploaded: check the path")
    return files
