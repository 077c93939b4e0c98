"""Copies by a text's own words: what may come out, in English and in Chinese, with emoji whole."""

from __future__ import annotations

from collections import Counter

import pytest

from eagleray.data.augment import units
from eagleray.data.augment.order import Deletion, Insertion, Sentences, Swap, Syntax
from eagleray.data.draws import Draw

TEXTS = [
    "A film that's far better than it needs to be.",
    "这部电影很好看，我很喜欢👍🏽！推荐给大家。",
    "Mixed 混合 text: 好👨‍👩‍👧 and naïve café, 1️⃣ 🇨🇳",
]


@pytest.mark.parametrize("text", TEXTS, ids=["en", "zh", "mixed"])
def test_units_joined_are_the_text_and_emoji_are_whole(text: str) -> None:
    parts = units.split(text)
    assert "".join(parts) == text
    for emoji in ("👍🏽", "👨‍👩‍👧", "1️⃣", "🇨🇳"):
        assert (emoji in text) == (emoji in parts)


@pytest.mark.parametrize("text", TEXTS, ids=["en", "zh", "mixed"])
@pytest.mark.parametrize("number", range(10))
def test_words_are_neither_made_nor_cut(text: str, number: int) -> None:
    before = Counter(part for part in units.split(text) if not part.isspace())
    swapped = Counter(part for part in units.split(Swap(0.2)(text, Draw(number))) if not part.isspace())
    deleted = Counter(part for part in units.split(Deletion(0.2)(text, Draw(number))) if not part.isspace())
    inserted = Counter(part for part in units.split(Insertion(0.2)(text, Draw(number))) if not part.isspace())
    assert swapped == before
    assert deleted < before
    assert before < inserted
    assert set(inserted) == set(before)


def test_deletion_leaves_a_word_and_no_double_space() -> None:
    assert Deletion(1.0)("a b c d", Draw(0)).strip() in set("abcd")
    assert "  " not in Deletion(0.5)("one two three four five six", Draw(1))
    assert Deletion(1.0)("word", Draw(0)) == "word"
    assert Deletion(1.0)("👍", Draw(0)) == "👍"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("One. Two!", {"Two! One."}),
        ("好看。推荐！", {"推荐！好看。"}),
        ("A single one.", {"A single one."}),
        ("It cost 3.5 euros.", {"It cost 3.5 euros."}),
    ],
)
def test_sentences_change_places(text: str, wanted: set[str]) -> None:
    assert {Sentences()(text, Draw(number)) for number in range(5)} <= wanted


@pytest.mark.parametrize(
    ("conjunctions", "text", "wanted"),
    [
        (("and", "or"), "When it ends, nobody is sorry.", "Nobody is sorry, when it ends."),
        (("and", "or"), "Ann says so, and Bob agrees!", "And Bob agrees, Ann says so!"),
        (("and", "or"), "It is slow and warm.", "It is warm and slow."),
        (("and", "or"), "A, b, and c.", "A, b, and c."),
        (("and", "or"), "Ann and Bob sing.", "Ann and Bob sing."),
        ((), "这部电影很长，但是好看。", "但是好看，这部电影很长。"),
        ((), "slow and warm", "slow and warm"),
    ],
)
def test_syntax(conjunctions: tuple[str, ...], text: str, wanted: str) -> None:
    assert Syntax(conjunctions)(text, Draw(0)) == wanted
