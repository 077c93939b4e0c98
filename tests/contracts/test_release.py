"""What a release is made of: one version, and a wheel with every file of the package and nothing else."""

from __future__ import annotations

import ast
import re
import tomllib
import zipfile
from pathlib import Path

import pytest

import eagleray
from tests.support import wheel

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

IMPORTED_AS = {
    "common-expression-language": "cel",
    "kubernetes-validate": "kubernetes_validate",
    "mlflow-skinny": "mlflow",
    "pillow": "PIL",
    "prometheus-client": "prometheus_client",
    "pyjwt": "jwt",
    "pyyaml": "yaml",
    "tensorboardx": "tensorboardX",
}
NOT_IMPORTED = {
    "gguf": "transformers reads .gguf by it",
    "httptools": "uvicorn parses HTTP by it",
    "onnxscript": "torch writes graphs by it",
    "uvloop": "uvicorn's event loop",
}
"""Run-time dependencies that other packages import for us."""


def test_the_changelog_begins_with_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert wheel.problems_of_version(changelog) == []


@pytest.mark.parametrize(
    ("changelog", "told"),
    [("# Changelog\n", "has no version"), ("## 0.0.9\n\n## 0.1.0\n", "begins with 0.0.9")],
    ids=["none", "another"],
)
def test_another_version_is_told(changelog: str, told: str) -> None:
    (problem,) = wheel.problems_of_version(changelog, "0.1.0")

    assert told in problem


def test_what_is_in_the_wheel(tmp_path: Path) -> None:
    built, archive = wheel.build(tmp_path)

    assert built.name == f"eagleray-{eagleray.__version__}-py3-none-any.whl"
    assert archive.stat().st_size > 100_000
    with zipfile.ZipFile(built) as opened:
        names = opened.namelist()
        metadata = opened.read(f"eagleray-{eagleray.__version__}.dist-info/METADATA").decode()
    assert wheel.problems_of_content(names) == []
    assert {"eagleray/py.typed", "eagleray/flow/demo.yaml", "eagleray/report/page.css", "eagleray/ui/page/app.js"} <= {
        *names
    }
    assert "Provides-Extra: train" in metadata


def test_every_run_time_dependency_is_imported_or_told_why() -> None:
    groups = PROJECT["optional-dependencies"].items()
    extras = [each for name, group in groups if name not in ("test", "dev", "all") for each in group]
    asked = {re.split(r"[\[=<>~! ]", each)[0].lower() for each in [*PROJECT["dependencies"], *extras]}
    imported = _imported()

    assert {name for name in asked if IMPORTED_AS.get(name, name) not in imported} == NOT_IMPORTED.keys()


def _imported() -> set[str]:
    names: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
    return names
