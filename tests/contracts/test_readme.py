"""What the README says is so: its commands exist, its files and documents too, and its map is the tree's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from eagleray.cli.app import app
from eagleray.spec import document
from tests.support import readme_map

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"^```(?:sh|console)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
SECOND = "list|show|watch|compare|report|delete|prune|verify|export|reshape"
COMMAND = re.compile(rf"^(?:\$ )?(?:.*-- )?eagleray ([a-z]+(?: (?:{SECOND})\b)?)", re.MULTILINE)
COMMANDS = sorted(set(COMMAND.findall(SHELL)))
TARGETS = sorted(set(re.findall(r"^(?:\$ )?make ([a-z-]+)", SHELL, re.MULTILINE)))


def test_the_readme_shows_commands() -> None:
    assert {"train", "plan", "predict", "submit", "runs list"} <= set(COMMANDS)
    assert {"demo", "test", "check"} <= set(TARGETS)


@pytest.mark.parametrize("words", COMMANDS)
def test_command_of_the_readme_exists(words: str) -> None:
    command = get_command(app)
    for word in words.split():
        command = command.commands[word]  # type: ignore[attr-defined]

    assert command.help


@pytest.mark.parametrize("target", TARGETS)
def test_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bjobs/[\w/.-]+\.\w+", TEXT))))
def test_job_of_the_readme_is_shipped(name: str) -> None:
    assert (ROOT / name).is_file()


def test_document_of_the_readme_is_valid() -> None:
    blocks = [block for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) if "kind:" in block]

    assert blocks
    for block in blocks:
        document.loads(block, source="README.md")


def test_map_of_the_readme_is_the_tree() -> None:
    """`make map` writes it anew."""
    assert readme_map.written() == readme_map.generated()
