"""Which rows does a source of the document name? Files, globs, `pkg://`, folders of images, saved data sets, `hub://`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import assert_never

from eagleray.data import image_folders
from eagleray.data.digests import Digests, Named
from eagleray.data.formats import SourceRow, file_format, is_data_file_name, read_file
from eagleray.data.wording import did_you_mean, listed
from eagleray.errors import DataError
from eagleray.store.sources import resolve

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_URI = re.compile(r"hub://(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[^#]+))?(#(?P<split>.+))?")
GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Files:
    """Files of rows, in order; messages name them relative to `base`."""

    paths: tuple[Path, ...]
    base: Path


@dataclass(frozen=True, slots=True)
class Images:
    """A directory of folders of images."""

    path: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """A directory that `Dataset.save_to_disk` wrote: one split."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Hub:
    """One split of a data set of the Hugging Face Hub."""

    name: str
    revision: str | None
    split: str


def read_rows(source: str, *, split: str) -> Iterator[SourceRow]:
    """Yield the rows of a source in order; `split` ("train", "validation", "test") chooses where it has several.

    Raises:
        DataError: nothing is there, it is empty, or it is malformed.
    """
    place = locate(source, split=split)
    rows = _rows(place)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{source}: no rows: {_why_empty(place)}")
    yield first
    yield from rows


def files_of_rows(source: str, *, split: str, columns: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files that the rows of a table name in these columns, be they there or not."""
    for row in read_rows(source, split=split) if columns else ():
        located = row.located(columns)
        values = (located.get(column) for column in columns)
        yield from (Path(value) for value in values if isinstance(value, str) and not value.startswith("data:"))


def source_fingerprint(source: str, *, split: str, digests: Digests, columns: tuple[str, ...] = ()) -> str:
    """Return the sha256 of what `read_rows` would yield: of the files' content and formats, not of their names.

    With it goes the content of the files that rows name in `columns`.
    """
    place = locate(source, split=split)
    own = _files(place)

    def files() -> Iterator[Named]:
        yield from own
        if not isinstance(place, Images):  # its images are its own files
            for path in files_of_rows(source, split=split, columns=columns):
                yield "", path if path.is_file() else None

    return digests.of_all(files)


def _files(place: Files | Images | Saved | Hub) -> list[Named]:
    """The files that a source itself is, and what tells two of the same content apart."""
    match place:
        case Files():
            return [(file_format(path), path) for path in place.paths]
        case Images():
            return [(path.relative_to(place.path).parts[0], path) for path in place.files]
        case Saved():
            return [(path.suffix, path) for path in _saved_files(place.path)]
        case Hub():
            files = _library().hub_files(place.name, revision=place.revision, split=place.split)
            return [(place.split, path) for path in files]
        case _:
            assert_never(place)


def locate(source: str, *, split: str) -> Files | Images | Saved | Hub:
    """Return what a source names.

    Raises:
        DataError: nothing is there; says what is nearby.
    """
    if source.startswith("hub://"):
        return _hub(source, split=split)
    resolved = resolve(source)
    path = Path(resolved)
    if path.is_file():
        return Files((path,), base=path.parent)
    if path.is_dir():
        images = () if _is_saved(path) else tuple(image_folders.found(path))
        return Images(path, images) if images else _saved(path, split=split)
    if GLOB.search(resolved):
        return _glob(path, source=source)
    if HUB_ID.fullmatch(source) and not is_data_file_name(source):
        return Hub(source, revision=None, split=split)
    raise DataError(_missing(path, source=source))


def _rows(place: Files | Images | Saved | Hub) -> Iterator[SourceRow]:
    match place:
        case Files():
            for path in place.paths:
                for row in read_file(path, name=str(path.relative_to(place.base))):
                    yield replace(row, folder=path.parent)
        case Images():
            yield from image_folders.rows(place.path, list(place.files))
        case Saved():
            yield from _library().saved_rows(place.path, name=place.name)
        case Hub():
            yield from _library().hub_rows(place.name, revision=place.revision, split=place.split)
        case _:
            assert_never(place)


def _library() -> ModuleType:
    """The module that imports `datasets`, where such a source is read and not before."""
    from eagleray.data import library

    return library


def _hub(source: str, *, split: str) -> Hub:
    match = HUB_URI.fullmatch(source)
    if match is None:
        raise DataError(
            f"{source}: not of the form hub://owner/name, hub://owner/name@revision or hub://owner/name#split"
        )
    return Hub(match["name"], revision=match["revision"], split=match["split"] or split)


def _is_saved(path: Path) -> bool:
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _saved(path: Path, *, split: str) -> Saved:
    if (path / "state.json").is_file():
        return Saved(path, name=path.name)
    listing = path / "dataset_dict.json"
    if not listing.is_file():
        raise DataError(
            f"{path}: a directory that was not written by `Dataset.save_to_disk` and holds no folders of images: "
            f"name its files, for example {path}/*.jsonl; it holds {_contents(path)}"
        )
    splits = json.loads(listing.read_text(encoding="utf-8"))["splits"]
    if split not in splits:
        raise DataError(
            f"{path}: no split {split!r} in this data set directory: it has {listed(splits, limit=8)}; "
            f"name one of them as {path}/{splits[0] if splits else 'train'}"
        )
    return Saved(path / split, name=f"{path.name}/{split}")


def _saved_files(path: Path) -> list[Path]:
    """The rows and their features; `state.json` is left out: it tells how the rows were made, not what they are."""
    return [*sorted(path.glob("*.arrow")), path / "dataset_info.json"]


def _glob(pattern: Path, *, source: str) -> Files:
    parts = pattern.parts
    depth = next(number for number, part in enumerate(parts) if GLOB.search(part))
    base = Path(*parts[:depth])
    paths = tuple(sorted(path for path in base.glob(str(Path(*parts[depth:]))) if path.is_file()))
    if not paths:
        raise DataError(f"{source}: no file matches: {_nearby(base)}")
    return Files(paths, base=base)


def _missing(path: Path, *, source: str) -> str:
    if "://" in source and not source.startswith("pkg://"):
        return (
            f"{source}: rows are not read from this kind of address: name a file or a glob on a disk that every worker "
            "sees, a data set directory, pkg://package/path or hub://owner/name"
        )
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"{source}: no such file or directory{did_you_mean(path.name, names)}: {_nearby(path.parent)}"


def _nearby(folder: Path) -> str:
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    return f"{folder} holds {_contents(folder)}"


def _contents(folder: Path) -> str:
    return listed(sorted(entry.name for entry in folder.iterdir()), limit=8)


def _why_empty(place: Files | Images | Saved | Hub) -> str:
    if isinstance(place, Files) and len(place.paths) == 1:
        return "the file is empty" if place.paths[0].stat().st_size == 0 else "there is nothing below the header"
    return "its files hold none"
