"""Of which words does a text consist? Scripts without spaces have a word a character; emoji are never cut."""

from __future__ import annotations

import regex

_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER = rf"(?![{_NO_SPACES}])[\p{{L}}\p{{M}}\p{{N}}]"
_UNIT = regex.compile(rf"(?:{_LETTER})+(?:['’\-](?:{_LETTER})+)*|\s+|\X")
_WORD = regex.compile(r"[\p{L}\p{N}]")
_IS_ALONE = regex.compile(rf"[{_NO_SPACES}]")
_SENTENCE_ENDS = regex.compile(r"(?<=[.!?…]['\"”’)]?)\s+|(?<=[。！？][”’」]?)(?![。！？”’」])")


def split(text: str) -> list[str]:
    """Return the units of a text in order: words, white space, other characters singly. Joined they are the text."""
    return list(_UNIT.findall(text))


def words(units: list[str]) -> list[int]:
    """Return which units are words."""
    return [number for number, unit in enumerate(units) if _WORD.match(unit)]


def stands_alone(unit: str) -> bool:
    """Whether a word is of a script that puts no spaces between words."""
    return _IS_ALONE.match(unit) is not None


def sentences(text: str) -> tuple[list[str], list[str]]:
    """Return the sentences of a text and what is between them, one less."""
    found: list[str] = []
    gaps: list[str] = []
    start = 0
    for end in _SENTENCE_ENDS.finditer(text):
        if end.end() >= len(text) or end.start() == start:
            continue
        found.append(text[start : end.start()])
        gaps.append(end[0])
        start = end.end()
    return [*found, text[start:]], gaps
