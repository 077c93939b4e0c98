"""What `make release` looks at: the version, what is in the wheel, and that it works in an empty environment."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import eagleray

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "jobs" / "finetune" / "text-classification-cpu.yaml"
_VERSION = re.compile(r"^## (\d+\.\d+\.\d+)", re.MULTILINE)


def problems_of_version(changelog: str, version: str = eagleray.__version__) -> list[str]:
    """What is wrong between the package's version and the newest entry of the changelog."""
    newest = _VERSION.search(changelog)
    if newest is None:
        return ["CHANGELOG.md has no version: write `## X.Y.Z` above what is new"]
    if newest[1] != version:
        return [f"CHANGELOG.md begins with {newest[1]}, the package is {version}: make them the same"]
    return []


def problems_of_content(names: Iterable[str]) -> list[str]:
    """What is missing in a wheel, or does not belong there."""
    there = {name for name in names if ".dist-info/" not in name}
    source = ROOT / "src"
    files = [file for file in source.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    wanted = {file.relative_to(source).as_posix() for file in files}
    return [
        *(f"the wheel lacks {name}" for name in sorted(wanted - there)),
        *(f"the wheel has {name}, which is no part of the package" for name in sorted(there - wanted)),
    ]


def build(to: Path) -> tuple[Path, Path]:
    """Build wheel and source archive; nothing is downloaded."""
    _call(sys.executable, "-m", "hatchling", "build", "--directory", str(to), cwd=ROOT)
    (wheel,), (archive,) = to.glob("*.whl"), to.glob("*.tar.gz")
    return wheel, archive


def smoke(wheel: Path, folder: Path) -> None:
    """Install the wheel alone in an empty environment with what the core needs, and use it."""
    venv.create(folder, with_pip=True)
    pip = (str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check")
    _call(*pip, "--no-deps", str(wheel))
    _call(*pip, "--constraint", str(ROOT / "requirements.lock"), *_core())
    command = str(folder / "bin" / "eagleray")
    assert eagleray.__version__ in _call(command, "--version").stdout
    assert "Examples" in _call(command, "--help").stdout
    assert '"$defs"' in _call(command, "schema").stdout
    assert "learning_rate" in _call(command, "plan", str(DOCUMENT), "--document").stdout
    refused = _call(command, "plan", str(DOCUMENT), code=1).stderr
    assert "pip install 'eagleray[train]'" in refused, refused


def _core() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [str(requirement) for requirement in project["dependencies"]]


def _call(*command: str, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


def main(to: Path) -> int:
    """Build into a folder that is empty and say what is there; 1 where something is wrong."""
    problems = problems_of_version((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    wheel, archive = build(to)
    with zipfile.ZipFile(wheel) as opened:
        problems += problems_of_content(opened.namelist())
    if problems:
        sys.stderr.writelines(f"{problem}\n" for problem in problems)
        return 1
    with tempfile.TemporaryDirectory(prefix="eagleray-smoke-") as folder:
        smoke(wheel, Path(folder) / "venv")
    sys.stdout.writelines(f"{file}  {file.stat().st_size} bytes\n" for file in (wheel, archive))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
