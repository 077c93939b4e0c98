"""What is kept of a row that was run, and does it still hold?

One file a row under `bench/results/`, which git ignores. It holds as long as machine, versions, the product's source,
what measures and the row's command are what they were; a commit that touches none of them takes no hour to measure
again. What measures is each script of `bench/` and each fake of `tests/support`, as scripts share them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.figures import Figures

ROOT = Path(__file__).parents[1]
SHOWING = frozenset({"__main__.py", "page.py", "plot.py", "rows.py"})
"""Modules of this folder that measure nothing. The arguments of a row are its command, which is compared by itself."""
PACKAGES = (
    "torch",
    "transformers",
    "deepspeed",
    "accelerate",
    "ray",
    "datasets",
    "tokenizers",
    "onnxruntime",
    "optuna",
    "peft",
    "numpy",
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Where figures are from."""

    cpu: str
    cores: int
    memory_gib: int
    python: str
    versions: dict[str, str]
    source: str  # git's name for what lies under src/, and of what is not committed there

    @property
    def told(self) -> str:
        """One line for people."""
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.cores} cores of {self.cpu}, {self.memory_gib} GiB, Python {self.python}, {packages}"


@dataclass(frozen=True, slots=True)
class Result:
    """A row that was run to its end."""

    row: str
    command: list[str]
    fingerprint: Fingerprint
    commit: str
    at: str
    seconds: float
    load: float  # of the machine, the minute before
    figures: Figures
    raw: dict[str, Any] = field(default_factory=dict)
    script: str = ""  # what `digest` says of all that measures

    def holds(self, command: list[str], fingerprint: Fingerprint, script: str) -> bool:
        """Whether to run the row again would measure the same thing."""
        return (self.command, self.fingerprint, self.script) == (command, fingerprint, script)


def read(folder: Path) -> dict[str, Result]:
    """By row. A file that was not written to its end is none."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        result = parse(json.loads(path.read_text(encoding="utf-8")))
        found[result.row] = result
    return found


def parse(fields: dict[str, Any]) -> Result:
    """Of what `plain` has made."""
    return Result(**{**fields, "fingerprint": Fingerprint(**fields["fingerprint"])})


def plain(result: Result) -> dict[str, Any]:
    """As it lies in files."""
    return asdict(result)


def write(folder: Path, result: Result) -> None:
    """Under another name first: a kill on the way leaves no half file that looks like a result."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{result.row}.part"
    part.write_text(json.dumps(plain(result), indent=1) + "\n", encoding="utf-8")
    part.replace(folder / f"{result.row}.json")


def fingerprint() -> Fingerprint:
    """Of this machine and this tree."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    changes = _git("diff", "HEAD", "--", "src")
    dirty = f"+{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else ""
    return Fingerprint(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        python=platform.python_version(),
        versions=found,
        source=_git("rev-parse", "HEAD:src")[:12] + dirty,
    )


def digest(root: Path = ROOT) -> str:
    """Of the names and texts of all that measures."""
    scripts = [path for path in (root / "bench").glob("*.py") if path.name not in SHOWING]
    found = hashlib.sha256()
    for path in sorted([*scripts, *(root / "tests" / "support").rglob("*.py")]):
        found.update(f"{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]


def commit() -> str:
    """Of this tree, shortened."""
    return _git("rev-parse", "HEAD")[:12]


def _git(*words: str) -> str:
    """Empty outside of a repository, as in an unpacked archive."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
