"""Cleaning: what each step makes of a text, and what it leaves alone."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from eagleray.data import clean
from eagleray.data.clean import Cleaner
from eagleray.spec.clean import CleanSpec


def cleaner(**options: Any) -> Cleaner:
    return Cleaner(CleanSpec.model_validate_json(json.dumps(options)), keys=("text", "messages"))


@pytest.mark.parametrize(
    ("options", "text", "wanted"),
    [
        ({"html": True}, "one<br/>two <b>three</b>", "one\ntwo three"),
        ({"html": True}, "a &lt; b &amp;&nbsp;c", "a < b &\xa0c"),
        ({"html": True}, "a < b, <3 and x<y>z", "a < b, <3 and xz"),
        ({"html": True}, "<p>seen</p><script>if (a<b) run()</script><!-- no -->", "seen\n"),
        ({"html": True}, "<div>这部<em>电影</em>👍🏽</div>", "这部电影👍🏽\n"),
        ({"html": True}, "ends in <b", "ends in <b"),
        ({"unicode": "nfc"}, "cafe\u0301", "café"),
        ({"unicode": "nfkc"}, "①,", "1,"),
        ({"unicode": "nfkc"}, "👨‍👩‍👧 好", "👨‍👩‍👧 好"),
        ({"control": True}, "a\x00b\u200bc\ufeff\u202ed\tE\n", "abcd\tE\n"),
        ({"control": True}, "👨‍👩‍👧❤️🏴\U000e0067\U000e0062\U000e007f", "👨‍👩‍👧❤️🏴\U000e0067\U000e0062\U000e007f"),
        ({"urls": "drop"}, "see https://a.b/c?d=e#f, or www.x.org.", "see , or ."),
        ({"urls": "replace"}, "看http://t.cn/abc很好", "看[URL]很好"),
        ({"urls": "replace", "url_token": "<u>"}, "HTTP://A.b/", "<u>"),
        ({"mentions": "drop"}, "@ann: hi @bob_2!", ": hi !"),
        ({"mentions": "replace"}, "a@b.org and @小明 说", "a@b.org and [USER] 说"),
        ({"whitespace": True}, "  a\t\tb\n\u3000c\xa0d ", "a b c d"),
        ({}, " as <b>it</b>\x00 is ", " as <b>it</b>\x00 is "),
    ],
)
def test_steps(options: dict[str, Any], text: str, wanted: str) -> None:
    assert cleaner(**options).text(text) == wanted


def test_steps_come_in_their_order() -> None:
    every = cleaner(html=True, unicode="nfkc", control=True, urls="replace", mentions="replace", whitespace=True)
    text = "<p>Ｓee&#32;<a href='x'>https://a.b</a>\x00\n  @ann</p>"
    assert every.text(text) == "See [URL] [USER]"
    assert [step for step, _, _ in every.traced(text)] == [
        "html",
        "unicode",
        "control",
        "urls",
        "mentions",
        "whitespace",
    ]


def test_texts_of_a_row_change_and_nothing_else() -> None:
    row = {"text": " a ", "label": " b ", "messages": [{"role": " c ", "content": " d "}]}
    wanted = {"text": "a", "label": " b ", "messages": [{"role": " c ", "content": "d"}]}
    assert cleaner(whitespace=True).row(row) == wanted


@pytest.mark.parametrize(
    "options", [{}, {"duplicates": "near", "languages": ["en"], "url_token": "x"}], ids=["none", "rows"]
)
def test_without_a_step_there_is_no_cleaner(options: dict[str, Any]) -> None:
    spec = CleanSpec.model_validate_json(json.dumps(options))
    assert clean.cleaner(spec, ("text",)) is None
    assert spec.facts() == {}


def test_a_model_takes_its_cleaning_along() -> None:
    spec = CleanSpec(html=True, urls="replace", duplicates="exact")
    again = clean.from_facts(json.loads(json.dumps(spec.facts())), ("text",))
    assert again is not None
    assert again.text("<i>www.a.b</i>") == "[URL]"
    assert again.spec.duplicates == "keep"


def test_emoji_and_scripts_survive_every_step_but_the_normal_form() -> None:
    text = "很好👍🏽 ไทย हिन्दी العربية 한국어 é 🇨🇳 1️⃣"
    every = cleaner(html=True, control=True, urls="drop", mentions="drop", whitespace=True)
    assert every.text(text) == text
    assert cleaner(unicode="nfc").text(text) == unicodedata.normalize("NFC", text)
