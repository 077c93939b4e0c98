"""What SECURITY.md says is shown by the tests it names, and what it says is never done is not done."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
SHOWN_BY = sorted(set(re.findall(r"`(tests/[\w/]+\.py)`", TEXT)))
SOURCES = sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.parametrize("test", SHOWN_BY)
def test_what_shows_it_is_there(test: str) -> None:
    assert "def test_" in (ROOT / test).read_text(encoding="utf-8")


def test_every_row_of_the_threats_names_what_shows_it() -> None:
    threats = TEXT.split("## What is tried")[1].split("## What does not hold")[0]
    rows = [
        line for line in threats.splitlines() if line.startswith(("| a ", "| labels", "| texts", "| another", "| who "))
    ][1:]

    assert len(rows) > 15
    assert [row for row in rows if "`tests/" not in row] == []


@pytest.mark.parametrize(
    "module", ["tarfile", "zipfile", "marshal", "shelve", "xml"], ids=lambda module: f"no {module}"
)
def test_is_never_imported(module: str) -> None:
    importing = [file for file in SOURCES if module in _imports(ast.parse(file.read_text(encoding="utf-8")))]

    assert importing == []


def test_pickles_pass_between_own_processes_only() -> None:
    importing = [file.name for file in SOURCES if "pickle" in _imports(ast.parse(file.read_text(encoding="utf-8")))]

    assert importing == ["parallel.py"]


@pytest.mark.parametrize(
    "call",
    [
        "eval", "exec", "os.system", "torch.load", "yaml.load", "yaml.unsafe_load", "shutil.unpack_archive",
        "tempfile.mktemp", "subprocess.getoutput",
    ],
)  # fmt: skip
def test_is_never_called(call: str) -> None:
    calling = [
        file
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == call
    ]

    assert calling == []


def test_no_shell_is_started() -> None:
    keywords = [
        (file.name, node.lineno)
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and any(each.arg == "shell" and ast.unparse(each.value) == "True" for each in node.keywords)
    ]

    assert keywords == []


def _imports(tree: ast.Module) -> set[str]:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in [*names, *modules]}
