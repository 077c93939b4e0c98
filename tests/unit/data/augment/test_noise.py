"""Noise: only characters that have a neighbour or a like shape change."""

from __future__ import annotations

import pytest

from eagleray.data.augment import noise
from eagleray.data.augment.noise import Keyboard, Ocr
from eagleray.data.draws import Draw

TEXT = "Will learn 10 things 未来己经 👍🏽 ไทย"


@pytest.mark.parametrize("layout", noise.ROWS)
def test_keyboards_have_every_letter_once(layout: str) -> None:
    letters = "".join(noise.ROWS[layout])
    assert sorted(letters) == sorted("abcdefghijklmnopqrstuvwxyz")


def test_keys_have_neighbours() -> None:
    near = noise._neighbours("qwerty")
    assert set(near["s"]) == set("awedxz")
    assert set(noise._neighbours("qwertz")["t"]) == set("rzfg")


@pytest.mark.parametrize("number", range(20))
def test_only_latin_letters_are_mistyped(number: int) -> None:
    typed = Keyboard(0.1, "qwerty")(TEXT, Draw(number))
    assert typed.endswith("未来己经 👍🏽 ไทย")
    assert " 10 " in typed
    assert abs(len(typed) - len(TEXT)) <= 2


def test_like_shapes() -> None:
    seen = {Ocr(0.01)("未来", Draw(number)) for number in range(20)}
    assert seen <= {"末来", "未末"}
    assert len(seen) == 2
    assert {Ocr(1.0)("burn", Draw(number)) for number in range(200)} >= {"hvm"}
    assert Ocr(1.0)("👍🏽 的", Draw(0)) == "👍🏽 的"
