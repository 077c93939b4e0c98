"""README.zh-CN.md keeps step with README.md: the same sections, commands, tables and pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```\w*\n.*?^```", re.MULTILINE | re.DOTALL)


def _english() -> str:
    """Without the map, which is of files and their docstrings."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = text.index("<!-- map"), text.index("<!-- end of map -->")
    return text[:begin] + text[end:]


ENGLISH = _english()
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")


def _levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]


def _blocks(text: str) -> list[str]:
    """The code as it runs: comments are in the reader's language."""
    return [re.sub(r"[ \t]*#.*", "", block) for block in FENCE.findall(text)]


def _links(text: str) -> list[str]:
    links = re.findall(r"\]\(([^)]+)\)", FENCE.sub("", text))
    return sorted({link for link in links if not link.startswith("README")})


def _rows(text: str) -> list[int]:
    """How many cells each row of a table has."""
    return [line.count("|") for line in FENCE.sub("", text).splitlines() if line.startswith("|")]


def _code(text: str) -> list[str]:
    return sorted(set(re.findall(r"`([^`\n]+)`", FENCE.sub("", text))))


@pytest.mark.parametrize(
    "told", [_levels, _blocks, _links, _rows, _code], ids=["headings", "blocks", "links", "tables", "inline code"]
)
def test_both_have_the_same(told: Callable[[str], list[object]]) -> None:
    assert told(CHINESE) == told(ENGLISH)


def test_each_points_to_the_other() -> None:
    assert "](README.zh-CN.md)" in ENGLISH
    assert "](README.md)" in CHINESE


def test_prose_is_chinese() -> None:
    prose = [line for line in FENCE.sub("", CHINESE).splitlines() if len(line) > 40 and not line.startswith("|")]

    assert [line for line in prose if not re.search(r"[\u4e00-\u9fff]{4}", line)] == []
