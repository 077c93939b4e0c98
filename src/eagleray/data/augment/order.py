"""How does a text become another by its own words: exchanged, left out, repeated, in other order?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from eagleray.data.augment import units
from eagleray.data.draws import Draw, how_many

_ENDING = re.compile(r"[\s.!?…。！？'\"”’)]*$")
_COMMA = re.compile(r"\s*[,，]\s*")
_LOWERED_WORDS = (
    "a after although an and as at because before but by for from he her here his if in is it its no on one or our "
    "she since so some that the their there these they this those though to unless until we what when where while who "
    "with yet you"
)
_LOWERED = frozenset(_LOWERED_WORDS.split())
"""First words of a sentence that are no names: within a sentence they are written small."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Neighbouring words change places, those of scripts with and without spaces apart: the one could grow together."""

    rate: float

    def __call__(self, text: str, draw: Draw) -> str:
        parts = units.split(text)
        words = units.words(parts)
        pairs = [
            (one, other)
            for one, other in pairwise(words)
            if units.stands_alone(parts[one]) == units.stands_alone(parts[other])
        ]
        for chosen in draw.sample(len(pairs), how_many(len(pairs), self.rate) if pairs else 0):
            one, other = pairs[chosen]
            parts[one], parts[other] = parts[other], parts[one]
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Deletion:
    """Words are left out, with the space before them; one stays."""

    rate: float

    def __call__(self, text: str, draw: Draw) -> str:
        parts = units.split(text)
        words = units.words(parts)
        if len(words) < 2:
            return text
        for chosen in draw.sample(len(words), min(how_many(len(words), self.rate), len(words) - 1)):
            place = words[chosen]
            parts[place] = ""
            beside = place - 1 if place else place + 1
            if beside < len(parts) and parts[beside].isspace():
                parts[beside] = ""
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Insertion:
    """Words of the text stand at another place once more."""

    rate: float

    def __call__(self, text: str, draw: Draw) -> str:
        parts = units.split(text)
        words = units.words(parts)
        if not words:
            return text
        for _ in range(how_many(len(words), self.rate)):
            word, place = parts[draw.choice(words)], draw.choice(words)
            parts[place] = word + parts[place] if units.stands_alone(word) else f"{word} {parts[place]}"
            words = [number for number in words if number != place] or words
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Sentences:
    """The sentences of a text in another order, what is between them at its place."""

    def __call__(self, text: str, draw: Draw) -> str:
        found, gaps = units.sentences(text)
        if len(found) < 2:
            return text
        order = draw.sample(len(found), len(found))
        if order == sorted(order):
            order = [*order[1:], order[0]]
        return "".join(found[number] + gap for number, gap in zip(order, [*gaps, ""], strict=True))


@dataclass(frozen=True, slots=True)
class Syntax:
    """The halves of a sentence around its only comma, or the words around a conjunction, change places."""

    conjunctions: tuple[str, ...]

    def __call__(self, text: str, draw: Draw) -> str:
        found, gaps = units.sentences(text)
        turned = [self._turned(sentence) for sentence in found]
        able = [number for number, sentence in enumerate(turned) if sentence != found[number]]
        if not able:
            return text
        chosen = draw.choice(able)
        found[chosen] = turned[chosen]
        return "".join(sentence + gap for sentence, gap in zip(found, [*gaps, ""], strict=True))

    def _turned(self, sentence: str) -> str:
        commas = list(_COMMA.finditer(sentence))
        if len(commas) == 1:
            return _halves_turned(sentence, commas[0])
        if not self.conjunctions:
            return sentence
        around = re.compile(rf"\b([^\W\d_]+) ({'|'.join(self.conjunctions)}) ([^\W\d_]+)\b")
        return around.sub(_words_turned, sentence, count=1)


def _halves_turned(sentence: str, comma: re.Match[str]) -> str:
    ending = _ENDING.search(sentence)
    assert ending is not None  # it may be empty
    first, second = sentence[: comma.start()], sentence[comma.end() : ending.start()]
    if not first.strip() or not second.strip():
        return sentence
    return f"{_capitalised_as(second, first)}{comma[0]}{_lowered(first)}{ending[0]}"


def _words_turned(match: re.Match[str]) -> str:
    if match[1][0].isupper() or match[3][0].isupper():  # the first word of a sentence, or a name
        return match[0]
    return f"{match[3]} {match[2]} {match[1]}"


def _capitalised_as(text: str, model: str) -> str:
    return text[0].upper() + text[1:] if model[0].isupper() else text


def _lowered(text: str) -> str:
    first = text.split(maxsplit=1)[0]
    return text[0].lower() + text[1:] if first.lower() in _LOWERED else text
