"""Which answers are near enough to those that were written down."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.serving import agreement
from eagleray.serving.agreement import EXACT, QUANTISED, ROUNDED, Tolerance


def one(good: float) -> dict[str, Any]:
    return {"label": "good" if good > 0.5 else "bad", "probabilities": {"bad": 1 - good, "good": good}}


def several(**probabilities: float) -> dict[str, Any]:
    return {"labels": [label for label, p in probabilities.items() if p > 0.5], "probabilities": probabilities}


def filled(**probabilities: float) -> dict[str, Any]:
    return {"text": "a fine film", "fillings": [probabilities]}


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "says"),
    [
        pytest.param(filled(fine=0.6, dull=0.1), filled(fine=0.6005, warm=0.1), EXACT, "", id="another last filling"),
        pytest.param(filled(fine=0.6), filled(fine=0.5), EXACT, "a filling's probability differs by 0.1", id="filling"),
        pytest.param(
            filled(fine=0.6), {"text": "x", "fillings": []}, EXACT, "a filling's probability differs by 1", id="no gap"
        ),
        pytest.param(one(0.9), one(0.9), EXACT, "", id="same"),
        pytest.param(one(0.9), one(0.9009), EXACT, "", id="near"),
        pytest.param(one(0.9), one(0.91), EXACT, "a probability differs by 0.01", id="far"),
        pytest.param(one(0.9), one(0.8), QUANTISED, "", id="near enough for int8"),
        pytest.param(one(0.9), one(0.1), QUANTISED, "label 'bad' instead of 'good'", id="another label"),
        pytest.param(one(0.5002), one(0.4998), EXACT, "", id="label in doubt"),
        pytest.param(one(0.502), one(0.498), EXACT, "label 'bad' instead of 'good'", id="label not in doubt"),
        pytest.param(one(0.502), one(0.498), ROUNDED, "", id="in doubt for bf16"),
        pytest.param(several(a=0.9, b=0.1), several(a=0.9, b=0.1), EXACT, "", id="labels"),
        pytest.param(several(a=0.9, b=0.499), several(a=0.9, b=0.501), QUANTISED, "", id="one label in doubt"),
        pytest.param(
            several(a=0.9, b=0.1), several(a=0.9, b=0.6), QUANTISED, "labels ['a', 'b'] instead of ['a']", id="one more"
        ),
        pytest.param({"value": 0.1}, {"value": 0.1005}, EXACT, "", id="number"),
        pytest.param({"value": 1000.0}, {"value": 1000.9}, EXACT, "", id="large number, by its size"),
        pytest.param({"value": 2.0}, {"value": 2.1}, EXACT, "value 2.1 instead of 2", id="another number"),
        pytest.param({"text": " a fine film and warm"}, {"text": " a fine film and cold"}, EXACT, "", id="text"),
        pytest.param({"text": "a fine film"}, {"text": "a fi\ufffd"}, EXACT, "", id="text cut within a character"),
        pytest.param({"text": "a"}, {"text": "b"}, EXACT, "a text begins with 'b' instead of 'a'", id="another text"),
        pytest.param({"text": "a"}, {"text": ""}, EXACT, "a text begins with '' instead of 'a'", id="nothing to say"),
        pytest.param({"text": "a"}, {"text": "b"}, ROUNDED, "", id="texts are not compared in bf16"),
        pytest.param({"text": "a"}, {"value": 1.0}, EXACT, "value instead of text", id="another kind"),
    ],
)
def test_difference(expected: dict[str, Any], found: dict[str, Any], tolerance: Tolerance, says: str) -> None:
    assert agreement.difference(expected, found, tolerance) == says


@pytest.mark.parametrize(
    ("expected", "found", "apart", "is_same"),
    [
        pytest.param(one(0.75), one(0.25), 0.5, False, id="label"),
        pytest.param(one(0.75), one(0.625), 0.125, True, id="same label"),
        pytest.param(several(a=0.75, b=0.25), several(a=0.25, b=0.25), 0.5, False, id="labels"),
        pytest.param({"value": 4.0}, {"value": 5.0}, 0.25, True, id="number"),
        pytest.param({"text": "a"}, {"text": "a"}, 0.0, True, id="same text"),
        pytest.param({"text": "a"}, {"text": "b"}, 1.0, False, id="text"),
    ],
)
def test_distance(expected: dict[str, Any], found: dict[str, Any], apart: float, is_same: bool) -> None:
    assert agreement.distance(expected, found) == apart
    assert agreement.is_same(expected, found) is is_same


@pytest.mark.parametrize(
    ("num_wrong", "tolerance", "num_told"),
    [(0, EXACT, 0), (1, EXACT, 1), (3, QUANTISED, 0), (4, QUANTISED, 4), (64, QUANTISED, 64)],
)
def test_a_few_quantised_answers_may_be_further_apart(num_wrong: int, tolerance: Tolerance, num_told: int) -> None:
    expected = [one(0.9)] * 64
    found = [one(0.1)] * num_wrong + [one(0.9)] * (64 - num_wrong)

    told = agreement.differences(expected, found, tolerance)

    assert len(told) == num_told
    assert told[:1] == (["row 1: label 'bad' instead of 'good'"] if num_told else [])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param({"label": "a", "probabilities": {"a": 0.9}}, {"label": "a", "probabilities": {"a": 0.6}}, False),
        pytest.param({"label": "a", "probabilities": {}}, {"label": "b", "probabilities": {}}, True),
        pytest.param({"labels": ["a"]}, {"labels": ["a", "b"]}, True),
        pytest.param({"labels": ["a"]}, {"labels": ["a"]}, False),
        pytest.param({"text": "a"}, {"text": "a b"}, True),
        pytest.param({"value": 0.5}, {"value": 0.515}, False),
        pytest.param({"value": 0.5}, {"value": 0.53}, True),
        pytest.param({"value": 100.0}, {"value": 101.5}, False),
        pytest.param({"value": -100.0}, {"value": -103.0}, True),
        pytest.param({"value": 0.5}, {"label": "a"}, True),
        pytest.param({"label": "a"}, {"value": 0.5}, True),
    ],
)
def test_two_versions(one: dict[str, Any], other: dict[str, Any], expected: bool) -> None:
    assert agreement.differ(one, other) == expected
