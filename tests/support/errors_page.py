"""What a user can be told that is wrong, and what mends it: `docs/errors.md`, read out of the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from eagleray import errors

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
SOURCE = ROOT / "src" / "eagleray"

KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.EaglerayError)
}
"""The errors of the tree; those that modules derive of them are found in the source."""
MESSAGES = {"Finding": 1, "Conflict": 1}
"""What becomes an error later, and which argument of it is the message."""
AREAS = {
    "spec": "Documents",
    "data": "Data",
    "tasks": "Tasks",
    "methods": "Methods",
    "model": "Models",
    "store": "Storage, runs and registry",
    "train": "Training",
    "tune": "Sweeps",
    "flow": "Commands that go through several parts",
    "serving": "Endpoints",
    "kube": "Kubernetes",
    "report": "Reports",
    "ui": "The page",
    "monitoring": "Monitoring",
    "metrics": "Metrics",
    "cli": "The command line",
}
_JOINTS = re.compile(r"[:;] |\. (?=[A-Z])")
_PLACE = re.compile(r"[\w.-]+( «[^»]*»)?|«[^»]*»")
_WORDS = re.compile(r"«[^»]*»|[^\w]+")


@dataclass(frozen=True, slots=True)
class Told:
    """One message: in which area, of which kind, what is wrong and what mends it."""

    area: str
    kind: str
    message: str
    remedy: str


def found() -> list[Told]:
    """Every message of the source, each once, by area and kind."""
    told = {each for file in sorted(SOURCE.rglob("*.py")) for each in _of(file)}
    order = list(AREAS)
    return sorted(told, key=lambda each: (order.index(each.area), each.kind, each.message, each.remedy))


def _exit_code(kind: type[errors.EaglerayError]) -> str:
    return "130 or 143" if kind is errors.Interrupted else str(kind.exit_code)


def page() -> str:
    """`docs/errors.md`."""
    lines = [
        "# What an error means",
        "",
        "Written by `make errors` from the source: every message that a command can end with, or a document can be",
        "refused with. «name» stands for what is told there. An error of a document begins with its place,",
        "`file:line: key:`; what it says of types and unknown keys follows from the [reference](reference.md).",
        "",
        "| kind | means | exit code |",
        "|---|---|---|",
        *(f"| `{name}` | {_means(kind)} | {_exit_code(kind)} |" for name, kind in KINDS.items()),
        "",
        "An exception that is none of these is a fault of eagleray: the message names the file with its traceback.",
    ]
    for area, messages in groupby(found(), key=lambda each: each.area):
        lines += ["", f"## {AREAS[area]}", "", "| kind | message | what to do |", "|---|---|---|"]
        lines += [f"| {each.kind} | {_cell(each.message)} | {_cell(each.remedy)} |" for each in messages]
    return "\n".join([*lines, ""])


def _means(kind: type[errors.EaglerayError]) -> str:
    return " ".join((kind.__doc__ or "").split()).rstrip(".")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")


def _of(file: Path) -> Iterator[Told]:
    area = file.relative_to(SOURCE).parts[0]
    if area not in AREAS:
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    own = {node.name: _base(node) for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        kind = own.get(node.func.id) or node.func.id
        place = MESSAGES.get(kind, 0)
        is_one = kind in KINDS or kind == "Conflict" or (kind == "Finding" and area == "spec")
        if not is_one or len(node.args) <= place:
            continue
        for text in _texts(node.args[place], known, named):
            if len(text.split()) > 2:
                yield Told(area, "document" if kind in MESSAGES else kind, *_split(text))


def _base(node: ast.ClassDef) -> str:
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return next((base for base in bases if base in KINDS), "")


def _texts(
    node: ast.expr, known: dict[str, ast.FunctionDef], named: dict[str, ast.expr], depth: int = 0
) -> Iterator[str]:
    """The texts that an expression can be; those of a function are what it returns."""
    match node:
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body, known, named, depth)
            yield from _texts(orelse, known, named, depth)
        case ast.Call(func=ast.Name(id=name)) if name in known and depth < 2:
            for each in ast.walk(known[name]):
                if isinstance(each, ast.Return) and each.value is not None:
                    yield from _texts(each.value, known, named, depth + 1)
        case ast.Name(id=name) if name in named and depth < 2:
            yield from _texts(named[name], known, named, depth + 1)
        case ast.Constant(value=str()) | ast.JoinedStr() | ast.BinOp(op=ast.Add()):
            yield _text(node, named)


def _text(node: ast.expr, named: dict[str, ast.expr]) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value, named) for value in values)
        case ast.BinOp(left=left, right=right):
            return _text(left, named) + _text(right, named)
        case ast.FormattedValue(value=ast.Name(id=name)) if isinstance(named.get(name), ast.Constant):
            return _text(named[name], named)
        case ast.FormattedValue(value=value):
            return f"«{_name(value)}»"
    return f"«{_name(node)}»"


def _name(node: ast.expr) -> str:
    """What a value is called, in words."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_").replace("_", "-")
        case ast.Call(func=ast.Attribute(attr="join"), args=[ast.expr() as inner]):
            return f"{_name(inner)}…"
        case ast.Call(func=func):
            return _name(func)
        case ast.Subscript(value=value) | ast.BinOp(left=value):
            return _name(value)
    return "…"


def _split(text: str) -> tuple[str, str]:
    """What is wrong, and what mends it: the part after the last colon, semicolon or full stop between words."""
    for joint in reversed(list(_JOINTS.finditer(text))):
        head, tail = text[: joint.start()], text[joint.end() :]
        if _num_words(head) > 1 and _num_words(tail) > 1 and not _PLACE.fullmatch(head):
            return head, tail
    return text, ""


def _num_words(text: str) -> int:
    return len(_WORDS.sub(" ", text).split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
