"""Where a `pkg://package/inner/path` of a document lies on this machine."""

from __future__ import annotations

import difflib
import importlib.util
import pkgutil
from itertools import islice
from pathlib import Path

from eagleray.errors import UserError

SCHEME = "pkg://"
_SEARCHED_FILES = 5000  # enough for a hint, little enough for a package of many files


def resolve(source: str) -> str:
    """The absolute path behind a `pkg://` source, found without importing the package; others are unchanged.

    A glob in the inner path stays one. Raises UserError where the package or the file is missing.
    """
    if not source.startswith(SCHEME):
        return source
    package, _, inner = source.removeprefix(SCHEME).partition("/")
    if not package.isidentifier() or ".." in inner.split("/") or inner.startswith("/"):
        raise UserError(f"{source}: give pkg://package/path/inside/it, without '..'")
    folders = _folders_of(source, package)
    for folder in folders:
        if _exists(folder, inner):
            return str(folder / inner)
    raise UserError(f"{source}: {package} is installed and has no {inner!r}{_similar(folders, inner)}")


def _folders_of(source: str, package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module without a spec, such as __main__
        spec = None
    if spec is None:
        known = [module.name for module in pkgutil.iter_modules()]
        close = difflib.get_close_matches(package, known, n=3)
        hint = f"did you mean {' or '.join(close)}? Else install" if close else "install"
        raise UserError(f"{source}: the package {package} is not installed: {hint} what brings it")
    folders = [Path(location) for location in spec.submodule_search_locations or ()]
    if not any(folder.is_dir() for folder in folders):
        raise UserError(f"{source}: {package} is a single module, not a package with files")
    return folders


def _exists(folder: Path, inner: str) -> bool:
    if any(character in inner for character in "*?["):
        return next(folder.glob(inner), None) is not None
    return (folder / inner).exists()


def _similar(folders: list[Path], inner: str) -> str:
    files = {
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in islice(folder.rglob("*"), _SEARCHED_FILES)
        if path.is_file() and "__pycache__" not in path.parts
    }
    same_name = sorted(file for file in files if Path(file).name == Path(inner).name)
    close = same_name[:3] or difflib.get_close_matches(inner, sorted(files), n=3, cutoff=0.5)
    return f": did you mean {' or '.join(close)}?" if close else ""
