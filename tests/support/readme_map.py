"""The README's map of the tree: one line a file, the first line of its docstring. `make map` writes it anew."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BEGIN, END = "<!-- map: written by `make map` -->\n", "<!-- end of map -->\n"


def written() -> str:
    """The map as it stands in the README."""
    return README.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]


def generated() -> str:
    """The map as the tree is: a table a package."""
    files = sorted((ROOT / "src" / "eagleray").rglob("*.py"), key=lambda file: (file.parent, file.name))
    packages = groupby(files, key=lambda file: file.parent)
    return "\n".join(_table(package, list(modules)) for package, modules in packages)


def write() -> None:
    """Put the generated map in the place of the written one."""
    text = README.read_text(encoding="utf-8")
    README.write_text(text.replace(BEGIN + written() + END, BEGIN + generated() + END), encoding="utf-8")


def _table(package: Path, modules: list[Path]) -> str:
    lines = {module.name: _first_line(module) for module in modules}
    summary = lines.pop("__init__.py", "")
    rows = [f"| `{name}` | {line} |\n" for name, line in lines.items()]
    return f"**`{package.relative_to(ROOT).as_posix()}/`**: {summary}\n\n| file | answers |\n|---|---|\n{''.join(rows)}"


def _first_line(module: Path) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    write()
