"""What the README says is so: its files and targets exist, and its map is the tree's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import readme_map

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"^```(?:sh|console)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
TARGETS = sorted(set(re.findall(r"^(?:\$ )?make ([a-z-]+)", SHELL, re.MULTILINE)))


def test_the_readme_shows_targets() -> None:
    assert {"demo", "test", "check"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_map_of_the_readme_is_the_tree() -> None:
    """`make map` writes it anew."""
    assert readme_map.written() == readme_map.generated()
