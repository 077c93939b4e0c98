"""How does a text look that was typed in haste, or read by a machine?"""

from __future__ import annotations

from dataclasses import dataclass

from eagleray.data.augment import units
from eagleray.data.draws import Draw, how_many

ROWS = {
    "qwerty": ("qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("qwertzuiop", "asdfghjkl", "yxcvbnm"),
    "azerty": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
"""The letters of each keyboard; a row lies half a key further right than the one above it."""

_LIKE = (
    *("0 O o", "1 l I i", "5 S", "8 B", "6 b", "2 Z", "rn m", "cl d", "vv w", "c e", "u v", "h b", "f t", "n ri"),
    *(
        "未 末",
        "己 已 巳",
        "土 士",
        "人 入 八",
        "大 太 犬",
        "日 曰 目",
        "干 千 于",
        "天 夭",
        "木 本 术",
        "牛 午",
        "刀 力",
    ),
    *("白 自", "鸟 乌", "令 今", "免 兔", "侯 候", "往 住", "徒 徙", "拔 拨", "折 拆 析", "戍 戌 戊", "睛 晴", "清 情"),
    *("买 卖", "电 申 甲", "失 矢", "由 田", "问 间 闪", "官 宫", "幻 幼", "享 亨", "贝 见", "末 来", "治 冶", "辨 辩"),
)


@dataclass(frozen=True, slots=True)
class Keyboard:
    """Letters become neighbours on the keyboard, are doubled, left out, or change places with the next."""

    rate: float
    layout: str

    def __call__(self, text: str, draw: Draw) -> str:
        near = _neighbours(self.layout)
        characters = list(text)
        letters = [number for number, character in enumerate(characters) if character.lower() in near]
        for chosen in draw.sample(len(letters), how_many(len(letters), self.rate) if letters else 0):
            place = letters[chosen]
            letter = text[place]
            match draw.below(4):
                case 0:
                    other = draw.choice(near[letter.lower()])
                    characters[place] = other.upper() if letter.isupper() else other
                case 1:
                    characters[place] = letter * 2
                case 2:
                    characters[place] = ""
                case _ if place + 1 < len(text) and text[place + 1].lower() in near:
                    characters[place], characters[place + 1] = text[place + 1], letter
        return "".join(characters)


@dataclass(frozen=True, slots=True)
class Ocr:
    """Characters become others of a like shape. What is written with several code points is left alone."""

    rate: float

    def __call__(self, text: str, draw: Draw) -> str:
        like = _likes()
        parts = [part for unit in units.split(text) for part in _pieces(unit, like)]
        able = [number for number, part in enumerate(parts) if part in like]
        for chosen in draw.sample(len(able), how_many(len(able), self.rate) if able else 0):
            parts[able[chosen]] = draw.choice(like[parts[able[chosen]]])
        return "".join(parts)


def _neighbours(layout: str) -> dict[str, tuple[str, ...]]:
    places = {
        letter: (row, column + row / 2)
        for row, letters in enumerate(ROWS[layout])
        for column, letter in enumerate(letters)
    }
    return {
        letter: tuple(
            other
            for other, (up, across) in places.items()
            if other != letter and abs(up - row) <= 1 and abs(across - column) <= 1
        )
        for letter, (row, column) in places.items()
    }


def _likes() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for group in _LIKE:
        alike = group.split()
        for one in alike:
            found[one] = (*found.get(one, ()), *(other for other in alike if other != one))
    return found


def _pieces(unit: str, like: dict[str, tuple[str, ...]]) -> list[str]:
    """A word letter by letter, pairs that look like one letter together."""
    if not unit[:1].isalnum():
        return [unit]
    found: list[str] = []
    place = 0
    while place < len(unit):
        size = 2 if unit[place : place + 2] in like else 1
        found.append(unit[place : place + size])
        place += size
    return found
