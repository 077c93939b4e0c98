"""Which rows a teacher labels for its student."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.flow.pseudo_labels import Answers, chosen, sure, thresholds

ANSWERS = Answers(
    labels=np.array([0, 0, 0, 0, 1, 1, 1, 0]),
    probabilities=np.array([0.99, 0.97, 0.95, 0.91, 0.8, 0.7, 0.6, 0.5]),
)


@pytest.mark.parametrize(
    ("per_class", "expected"),
    [(False, [0.9, 0.9]), (True, [0.9, 0.9 * 0.7 / 0.864])],
    ids=["one threshold", "per class"],
)
def test_thresholds(per_class: bool, expected: list[float]) -> None:
    found = thresholds(ANSWERS, num_labels=2, threshold=0.9, per_class=per_class)

    assert found.tolist() == pytest.approx(expected)


def test_a_label_that_no_row_got_keeps_the_threshold() -> None:
    assert thresholds(ANSWERS, num_labels=3, threshold=0.9, per_class=True)[2] == 0.9


@pytest.mark.parametrize(
    ("limits", "frequencies", "balance", "expected"),
    [
        ([0.9, 0.9], [1, 1], "none", [0, 1, 2, 3]),
        ([0.9, 0.9], [1, 1], "labels", []),
        ([0.9, 0.65], [1, 1], "labels", [0, 1, 4, 5]),
        ([0.9, 0.65], [2, 1], "labels", [0, 1, 2, 3, 4, 5]),
        ([0.9, 0.5], [1, 3], "labels", [0, 4, 5, 6]),
        ([0.995, 0.9], [1, 1], "labels", []),
        ([0.9, 0.9], [1, 0], "labels", [0, 1, 2, 3]),
    ],
    ids=["all", "one label alone", "alike", "as the labelled rows", "rarer", "none", "a label that has no rows"],
)
def test_chosen(limits: list[float], frequencies: list[int], balance: str, expected: list[int]) -> None:
    is_sure = sure(ANSWERS, np.array(limits))

    found = chosen(ANSWERS, is_sure, frequencies=frequencies, balance=balance)  # type: ignore[arg-type]

    assert found.tolist() == expected
