"""Which token is chosen, and what text can be sent of it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eagleray.serving import sampling
from eagleray.serving.sampling import Draw
from eagleray.serving.streamed_text import Detokeniser, StopScanner, token_bytes
from tests.support import tiny_models

PROBABILITIES = [0.1, 0.5, 0.15, 0.25]
LOGITS = torch.tensor([PROBABILITIES]).log()
TOKENIZER = tiny_models.decoder_tokenizer()


@pytest.mark.parametrize(
    ("draw", "token"),
    [
        pytest.param(Draw(), 1, id="greedy"),
        pytest.param(Draw(temperature=1e-40, uniform=0.999), 1, id="a tiny temperature is greedy"),
        pytest.param(Draw(temperature=1, uniform=0.05), 0, id="first"),
        pytest.param(Draw(temperature=1, uniform=0.59), 1, id="end of the second"),
        pytest.param(Draw(temperature=1, uniform=0.61), 2, id="third"),
        pytest.param(Draw(temperature=1, uniform=1 - 2**-24), 3, id="last"),
        pytest.param(Draw(temperature=1, top_p=0.5, uniform=0.99), 1, id="a nucleus of one"),
        pytest.param(Draw(temperature=1, top_p=0.51, uniform=0.99), 3, id="a nucleus of two"),
        pytest.param(Draw(temperature=1, top_p=0.76, uniform=0.99), 2, id="a nucleus of three"),
        pytest.param(Draw(temperature=1, top_p=1e-9, uniform=0.99), 1, id="the nucleus is never empty"),
        pytest.param(Draw(temperature=2, uniform=0.16), 0, id="hot: 0.1 becomes 0.166"),
    ],
)
def test_choose(draw: Draw, token: int) -> None:
    assert sampling.choose(LOGITS, [draw]) == [token]


def test_rows_choose_by_their_own_rules() -> None:
    draws = [Draw(temperature=1, uniform=0.05), Draw(), Draw(temperature=1, top_p=0.51, uniform=0.99)]
    assert sampling.choose(LOGITS.expand(3, -1).clone(), draws) == [0, 1, 3]


@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.3])
def test_tokens_come_as_often_as_they_should(top_p: float) -> None:
    """Over a vocabulary larger than the first look of the nucleus, flat enough to need the rest."""
    torch.manual_seed(0)
    logits = torch.randn(1, 2000)
    probabilities = logits.softmax(-1)[0]
    values, order = probabilities.sort(descending=True)
    kept = order[values.cumsum(0) - values < top_p]
    expected = torch.zeros(2000).index_put((kept,), probabilities[kept] / probabilities[kept].sum())
    grid = [(n + 0.5) / 4000 for n in range(4000)]
    draws = [Draw(temperature=1, top_p=top_p, uniform=uniform) for uniform in grid]
    chosen = sampling.choose(logits.expand(4000, -1), draws)
    found = torch.bincount(torch.tensor(chosen), minlength=2000) / 4000
    assert set(chosen) <= set(kept.tolist())
    assert float((found - expected).abs().max()) < 1e-3


def test_likelihoods_are_the_models_own() -> None:
    none, chosen_only, two = sampling.likelihoods(LOGITS.expand(3, -1), [1, 0, 3], [None, 0, 2])
    assert none is None
    assert chosen_only is not None and two is not None
    assert (chosen_only.logprob, chosen_only.top) == (pytest.approx(math.log(0.1)), ())
    assert two.top == ((1, pytest.approx(math.log(0.5))), (3, pytest.approx(math.log(0.25))))


def test_a_row_without_finite_logits_is_noticed() -> None:
    logits = torch.tensor([[0.0, float("nan")], [0.0, -math.inf], [-math.inf, -math.inf], [0.0, math.inf]])
    assert sampling.are_finite(logits) == [False, True, False, False]


@given(st.text(max_size=40))
def test_tokens_one_by_one_say_what_they_say_together(text: str) -> None:
    _assert_streams_like_decode(TOKENIZER(text)["input_ids"])


@given(st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=60))
def test_any_tokens_one_by_one_say_what_they_say_together(ids: list[int]) -> None:
    """Broken characters included, which a random model writes all the time."""
    _assert_streams_like_decode(ids)


def _assert_streams_like_decode(ids: list[int]) -> None:
    detokeniser = Detokeniser(TOKENIZER)
    pieces = [detokeniser.push(token) for token in ids]
    assert "".join([*pieces, detokeniser.finish()]) == TOKENIZER.decode(ids, skip_special_tokens=True)


def test_no_part_of_a_character_is_sent() -> None:
    detokeniser = Detokeniser(TOKENIZER)
    ids = TOKENIZER("a€😀")["input_ids"]
    assert len(ids) == 8  # a byte each
    assert [detokeniser.push(token) for token in ids] == ["a", "", "", "€", "", "", "", "😀"]
    assert b"".join(token_bytes(TOKENIZER, token) for token in ids) == "a€😀".encode()


@pytest.mark.parametrize(
    ("stops", "pushed", "sent", "is_stopped"),
    [
        pytest.param(["END"], ["a", "E", "N", "D", "b"], ["a", "", "", ""], True, id="over several pieces"),
        pytest.param(["END"], ["aEN", "x"], ["a", "ENx"], False, id="a beginning that becomes nothing"),
        pytest.param(["aab"], ["aa", "ab"], ["", "a"], True, id="overlaps itself"),
        pytest.param(["END", "\n"], ["x\nEND"], ["x"], True, id="the first of several"),
        pytest.param(["abc", "b"], ["ab"], ["a"], True, id="a shorter one inside"),
        pytest.param([], ["a", "b"], ["a", "b"], False, id="none"),
    ],
)
def test_stop_strings(stops: list[str], pushed: list[str], sent: list[str], is_stopped: bool) -> None:
    scanner, found, stopped = StopScanner(stops), [], False
    for text in pushed:
        part, stopped = scanner.push(text)
        found.append(part)
        if stopped:
            break
    assert (found, stopped) == (sent, is_stopped)


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.data())
def test_pieces_do_not_change_where_a_text_stops(text: str, stops: list[str], data: st.DataObject) -> None:
    """The text that is sent never holds a part of the stop string that ended it."""
    scanner, sent, rest = StopScanner(stops), "", text
    stopped = False
    while rest and not stopped:
        size = data.draw(st.integers(1, len(rest)))
        part, stopped = scanner.push(rest[:size])
        sent, rest = sent + part, rest[size:]
    if not stopped:
        sent += scanner.finish()
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    assert stopped == bool(ends)
    assert text.startswith(sent)
    # Of several stop strings the one that is whole first counts: it may begin after another that is not yet whole.
    assert not ends or min(ends) <= len(sent)
    assert not any(stop in sent for stop in stops)
