"""Which images does a directory of folders hold, one folder a class?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eagleray.data.formats import SourceRow

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def found(path: Path) -> list[Path]:
    """The images below the folders of a directory, in the order of their names; [] where it is no such directory."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    files = (file for folder in folders for file in sorted(folder.rglob("*")))
    return [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]


def rows(path: Path, files: list[Path]) -> Iterator[SourceRow]:
    """Each image as a row: `image`, its path, and `label`, its folder."""
    for file in files:
        within = file.relative_to(path)
        yield SourceRow({"image": str(file.absolute()), "label": within.parts[0]}, within.as_posix())
