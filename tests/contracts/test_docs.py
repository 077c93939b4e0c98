"""What README and docs show is what the program takes: every command with its options, every part of a document."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from eagleray.cli.app import app
from eagleray.spec import document
from eagleray.spec.finetune import FineTuneSpec
from tests.support import documents

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENDING = ("--help", "--install-completion")
"""Options that end a command before anything else of it is read."""
INLINE = re.compile(r"`(eagleray [^`\n]+)`")


def _lines(text: str) -> Iterator[str]:
    """The shell lines of a page's blocks, those that go on with a backslash put together."""
    for language, block in FENCE.findall(text):
        if language not in ("yaml", "json", "python", "text"):
            yield from block.replace("\\\n", " ").splitlines()


def _commands(text: str) -> Iterator[str]:
    for line in [*_lines(text), *INLINE.findall(FENCE.sub("", text))]:
        bare = re.split(r"\s+#\s|\s{3,}", line.removeprefix("$ "))[0]
        bare = re.sub(r"\$\((eagleray [^)]*)\)", r" && \1", bare)
        for part in re.split(r"\s(?:--|&&|\|)\s", bare):
            if part.startswith("eagleray "):
                yield re.split(r"\s(?:>|2>|<|&)", f"{part} ")[0].strip()


COMMANDS = sorted({(page.name, command) for page in PAGES for command in _commands(page.read_text(encoding="utf-8"))})
FRAGMENTS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (language, block) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if language == "yaml"
]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {command}" for page, command in COMMANDS])
def test_a_command_is_taken(page: str, command: str) -> None:
    """As far as it goes without running it: it exists, and so do its options. `…` stands for anything."""
    words = [word for word in shlex.split(command, comments=True)[1:] if word not in ("…", "...")]
    words = [word for word in words if not word.startswith("[") and word not in ENDING]
    node: Any = get_command(app)  # a group of typer's own click
    while words and hasattr(node, "commands"):
        context = node.context_class(node, info_name=node.name)
        node.parse_args(context, words)
        name, *words = [*context._protected_args, *context.args]
        assert name in node.commands, f"{name} is none of {', '.join(node.commands)}"
        node = node.commands[name]
    node.make_parser(node.context_class(node, info_name=node.name)).parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_points_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)]
    shipped = [ROOT / name for name in re.findall(r"\b(?:jobs|serve|bench|cluster)/[\w/.-]+\.\w+", text)]

    assert [path for path in [*links, *shipped] if not path.exists()] == []


def test_commands_are_shown() -> None:
    assert len(COMMANDS) > 100
    assert len(FRAGMENTS) >= 5


@pytest.mark.parametrize("text", FRAGMENTS)
def test_a_part_of_a_document_is_valid(text: str) -> None:
    """Whole documents as they are; a part of one is laid over the shortest that is valid."""
    part: dict[str, Any] = yaml.safe_load(text)
    if "kind" in part:
        load = document.loads_endpoint if part["kind"] == "Endpoint" else document.loads
        load(text, source="a.yaml")
        return
    sections = part.get("spec", part)
    assert sections.keys() <= FineTuneSpec.model_fields.keys()
    base = yaml.safe_load(documents.text())
    for name, section in sections.items():
        there = base["spec"].get(name)
        base["spec"][name] = {**there, **section} if isinstance(there, dict) and "type" not in there else section
    document.loads(yaml.safe_dump(base), source="a.yaml")
