"""Which rows are learned from, and how often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from eagleray.data import choose
from eagleray.spec.balance import BalanceSpec

COUNTS = np.array([0, 90, 30, 10])


def spec(**options: Any) -> BalanceSpec:
    return TypeAdapter[BalanceSpec](BalanceSpec).validate_python(options)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"type": "oversample"}, [0, 90, 90, 90]),
        ({"type": "oversample", "share": 0.5}, [0, 90, 45, 45]),
        ({"type": "undersample"}, [0, 10, 10, 10]),
        ({"type": "undersample", "share": 0.5}, [0, 20, 20, 10]),
        ({"type": "temperature", "temperature": 1.0}, [0, 90, 30, 10]),
        ({"type": "temperature", "temperature": 2.0}, [0, 68, 39, 23]),
        ({"type": "temperature", "temperature": 1000.0}, [0, 43, 43, 43]),
    ],
)
def test_targets(options: dict[str, Any], wanted: list[int]) -> None:
    assert choose.targets(COUNTS, spec(**options)).tolist() == wanted


@pytest.mark.parametrize("kind", ["oversample", "undersample", "temperature"])
def test_an_epoch_has_the_targets_and_uses_rows_evenly(kind: str) -> None:
    classes = np.repeat([1, 2, 3], [90, 30, 10])
    numbers = np.arange(130) * 3
    epoch = choose.balanced(numbers, classes, spec(type=kind), seed=1)
    used = classes[np.searchsorted(numbers, epoch)]
    assert np.bincount(used).tolist() == choose.targets(COUNTS, spec(type=kind)).tolist()
    assert (np.diff(epoch) >= 0).all()
    for each in (1, 2, 3):
        times = np.bincount(epoch // 3, minlength=130)[classes == each]
        assert times.max() - times.min() <= 1
    assert epoch.tolist() == choose.balanced(numbers, classes, spec(type=kind), seed=1).tolist()


def test_a_few_rows_of_each_class() -> None:
    classes = np.array([1, 2, 1, 2, 1, 3])
    numbers = np.array([5, 6, 7, 8, 9, 10])
    draws = [choose.few(numbers, classes, per_class=2, draw=draw, seed=0).tolist() for draw in range(20)]
    for drawn in draws:
        assert np.bincount(classes[np.searchsorted(numbers, drawn)]).tolist() == [0, 2, 2, 1]
    assert len({tuple(drawn) for drawn in draws}) == 3
    assert draws[4] == choose.few(numbers, classes, per_class=2, draw=4, seed=0).tolist()


def test_unfit_rows_and_repetitions_fall_out_in_turn() -> None:
    unfit = np.array([0, 2, 0, 1, 0, 0, 3], dtype=np.int8)
    groups = np.array([7, 7, 8, 8, 7, 9, 9], dtype=np.uint64)
    kept, dropped = choose.fit(np.array([0, 1, 2, 3, 4, 6]), unfit=unfit, groups=groups, reason_of_group="repeats")
    assert kept.tolist() == [0, 2]
    assert {each.reason: each.numbers.tolist() for each in dropped} == {
        "emptied": [3],
        "language": [1],
        "too short": [6],
        "repeats": [4],
    }


def test_shortfall_is_told() -> None:
    assert choose.shortfall({"a": 4, "b": 4}, 4) is None
    assert choose.shortfall({"a": 4, "b": 1}, 4) == ("train: data.few_shot wants 4 rows of each label: there are 'b' 1")
