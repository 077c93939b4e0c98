"""What SECURITY.md says is shown by the tests it names, and what it says is never done is not done."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
THREATS = TEXT.split("## What is tried")[1].split("\n|---|---|---|\n")[1].split("\n\n")[0].splitlines()
NAMED = re.compile(r"`(tests/[^`]*)`")
SHOWN_BY = sorted(set(NAMED.findall(TEXT)))
SOURCES = sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.parametrize("test", SHOWN_BY)
def test_what_shows_it_is_there(test: str) -> None:
    """A file, or one test of it after `::`."""
    file, _, function = test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    tests = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}

    assert [name for name in tests if name.startswith("test_") and function in ("", name)] != []


def test_the_table_of_threats_is_read_whole() -> None:
    assert len(THREATS) > 15


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_every_row_of_the_threats_names_what_shows_it(row: str) -> None:
    tried, holds, shown_by = (cell.strip() for cell in row.strip("|").split("|"))

    assert tried
    assert holds
    assert NAMED.sub("", shown_by).strip(", ") == ""
    assert NAMED.findall(shown_by)


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
