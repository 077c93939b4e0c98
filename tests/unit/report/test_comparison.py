"""In what do runs differ?"""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.report.comparison import Difference, differences, scores
from eagleray.spec import reported

NAMES = {*reported.SINGLE_LABEL, *reported.REGRESSION, *reported.LANGUAGE_MODEL, *reported.FOOTPRINT}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param([{"a": 1, "b": 2}, {"a": 1, "b": 2}], [], id="the-same"),
        pytest.param([{"a": 1, "b": 2}, {"a": 1, "b": 3}], [Difference("b", (2, 3))], id="one-key"),
        pytest.param([{"a": 1}, {"c": 2}], [Difference("a", (1, None)), Difference("c", (None, 2))], id="missing"),
        pytest.param([{"a": 1}, {"a": 1}, {"a": 4}], [Difference("a", (1, 1, 4))], id="three-runs"),
        pytest.param([{"a": 1}, {"a": True}], [Difference("a", (1, True))], id="of-another-type"),
    ],
)
def test_differences(given: list[dict[str, Any]], found: list[Difference]) -> None:
    assert list(differences(given)) == found


@pytest.mark.parametrize(
    ("split", "metric", "values", "best"),
    [
        pytest.param("test", "f1_macro", (0.5, 0.75), (False, True), id="more-is-better"),
        pytest.param("validation", "loss", (0.5, 0.75, 0.5), (True, False, True), id="less-is-better-and-a-tie"),
        pytest.param("test", "f1_macro", (0.5, 0.5), (False, False), id="equal"),
        pytest.param("test", "f1_macro", (0.5, None), (False, False), id="one-value"),
        pytest.param("test", "num_tokens", (5.0, 6.0), (False, False), id="a-count"),
        pytest.param("majority", "f1_macro", (0.5, 0.75), (False, False), id="no-learning"),
    ],
)
def test_the_best_is_marked(split: str, metric: str, values: tuple[float | None, ...], best: tuple[bool, ...]) -> None:
    (score,) = scores([{split: {metric: value}} for value in values])

    assert (score.values, score.best) == (values, best)


def test_what_is_no_number_is_no_score() -> None:
    assert list(scores([{"test": {"confusion_matrix": [[1]], "loss": float("nan")}}, {}])) == []


def test_every_metric_but_a_count_has_a_direction() -> None:
    assert {name for name in NAMES if reported.direction(name) is None} == {"num_tokens"}
