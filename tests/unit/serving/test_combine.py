"""An ensemble answers in the form of its members."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.serving import combine

ONE = {"label": "a", "probabilities": {"a": 0.75, "b": 0.25}}
OTHER = {"label": "b", "probabilities": {"b": 1.0, "a": 0.0}}  # the order of the first counts
BOTH = {"labels": ["a", "b"], "probabilities": {"a": 1.0, "b": 0.5}}
NONE = {"labels": [], "probabilities": {"a": 0.0, "b": 0.25}}
LABELS_B = {"labels": ["b"], "probabilities": {"a": 0.0, "b": 0.75}}


@pytest.mark.parametrize(
    ("answers", "weights", "expected"),
    [
        pytest.param([ONE, ONE], [1, 1], ONE, id="agreed"),
        pytest.param([ONE, OTHER], [1, 1], {"label": "b", "probabilities": {"a": 0.375, "b": 0.625}}, id="label"),
        pytest.param([ONE, OTHER], [3, 1], {"label": "a", "probabilities": {"a": 0.5625, "b": 0.4375}}, id="weights"),
        pytest.param([BOTH, NONE], [1, 1], {"labels": ["a"], "probabilities": {"a": 0.5, "b": 0.375}}, id="labels"),
        pytest.param([NONE, NONE], [1, 1], NONE, id="no-labels"),
        pytest.param([{"value": 1.0}, {"value": 4.0}], [1, 2], {"value": 3.0}, id="value"),
    ],
)
def test_mean(answers: list[Any], weights: list[float], expected: Any) -> None:
    assert combine.combined(answers, weights, how="mean") == expected


@pytest.mark.parametrize(
    ("answers", "weights", "expected"),
    [
        pytest.param([ONE, ONE], [1, 1], {"label": "a", "probabilities": {"a": 1.0, "b": 0.0}}, id="agreed"),
        pytest.param(
            [ONE, ONE, OTHER, OTHER],
            [1, 1, 1, 5],
            {"label": "b", "probabilities": {"a": 0.25, "b": 0.75}},
            id="weights",
        ),
        pytest.param(
            [ONE, OTHER],
            [1, 1],
            {"label": "b", "probabilities": {"a": 0.5, "b": 0.5}},
            id="of-equals-the-more-probable",
        ),
        pytest.param(
            [BOTH, NONE, LABELS_B],
            [1, 1, 1],
            {"labels": ["b"], "probabilities": {"a": pytest.approx(1 / 3), "b": pytest.approx(2 / 3)}},
            id="labels",
        ),
        pytest.param(
            [BOTH, NONE], [1, 1], {"labels": ["a", "b"], "probabilities": {"a": 0.5, "b": 0.5}}, id="labels-of-half"
        ),
    ],
)
def test_vote(answers: list[Any], weights: list[float], expected: Any) -> None:
    assert combine.combined(answers, weights, how="vote") == expected


@pytest.mark.parametrize("how", ["mean", "vote"])
def test_half_is_half_by_any_weights(how: Any) -> None:
    for tenths in range(1, 40):
        weights = [0.1] * tenths + [0.1 * tenths]
        answers = [{"labels": ["a"], "probabilities": {"a": 1.0}}] * tenths + [
            {"labels": [], "probabilities": {"a": 0.0}}
        ]
        assert combine.combined(answers, weights, how=how)["labels"] == ["a"], tenths
