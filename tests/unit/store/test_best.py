"""The best checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from eagleray.store import best

NAN, INFINITE = float("nan"), float("inf")


@dataclass(frozen=True)
class Saved:
    step: int
    metrics: dict[str, Any]


@pytest.mark.parametrize(
    ("values", "mode", "step"),
    [
        pytest.param([], "max", None, id="none"),
        pytest.param([0.1, 0.3, 0.2], "max", 2, id="max"),
        pytest.param([0.2, 0.1, 0.3], "min", 2, id="min"),
        pytest.param([0.1, 0.3, 0.3], "max", 2, id="tie-max-earlier"),
        pytest.param([0.3, 0.1, 0.1], "min", 2, id="tie-min-earlier"),
        pytest.param([NAN, 0.1, NAN], "max", 2, id="nan-never-wins-max"),
        pytest.param([NAN, 0.1, NAN], "min", 2, id="nan-never-wins-min"),
        pytest.param([-INFINITE, 0.1], "min", 2, id="infinite-never-wins"),
        pytest.param([None, 0.1], "min", 2, id="null"),
        pytest.param([True, 0.1], "max", 2, id="a-truth-is-no-number"),
        pytest.param(["1.0", 0.1], "max", 2, id="text"),
        pytest.param([NAN, None], "max", None, id="no-value-at-all"),
        pytest.param([-2, -1], "max", 2, id="negative-integers"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True], ids=["in-order", "reversed"])
def test_pick(values: list[Any], mode: Literal["max", "min"], step: int | None, reverse: bool) -> None:
    saved = [Saved(step=number, metrics={"f1": value}) for number, value in enumerate(values, start=1)]
    picked = best.pick(reversed(saved) if reverse else saved, metric="f1", mode=mode)
    assert (picked.step if picked else None) == step


def test_of_equals_the_one_of_the_lowest_loss_is_best() -> None:
    losses = (0.6, 0.4, NAN, 0.4)
    saved = [Saved(step, {"f1": 1.0, "loss": loss}) for step, loss in enumerate(losses, start=1)]

    picked = best.pick(saved, metric="f1", mode="max")

    assert picked is not None
    assert picked.step == 2


def test_a_metric_that_is_missing_has_no_value() -> None:
    assert best.value_of({"f1": 1}, "accuracy") is None
    assert best.value_of({"f1": 1}, "f1") == 1.0
