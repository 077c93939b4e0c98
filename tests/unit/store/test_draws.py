"""The spread over few-shot draws: which trials belong together, and what counts."""

from __future__ import annotations

import pytest

from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import draws
from eagleray.store.sweeps import Sweep
from tests.support.sweep_samples import trial

F1 = ObjectiveSpec(metric="f1_macro", mode="max")


def test_trials_that_differ_in_the_draw_alone_are_put_together() -> None:
    trials = (
        trial(0, [0.5, 0.6], params={"data.few_shot.draw": 0, "data.few_shot.per_class": 8}),
        trial(1, [0.8], params={"data.few_shot.draw": 0, "data.few_shot.per_class": 64}),
        trial(2, [0.4], params={"data.few_shot.per_class": 8, "data.few_shot.draw": 1}),
        trial(3, [0.9], params={"data.few_shot.draw": 1, "data.few_shot.per_class": 64}, state="pruned"),
    )
    many, few = draws.spreads(Sweep(trials=trials, objectives=(F1,)))
    assert (many.params, many.draws, many.mean, many.deviation) == ({"data.few_shot.per_class": 64}, 1, 0.8, 0.0)
    assert (few.params, few.draws, few.mean) == ({"data.few_shot.per_class": 8}, 2, 0.5)
    assert few.deviation == pytest.approx(0.1414, abs=1e-4)


def test_where_no_draw_is_searched_there_is_nothing_to_tell() -> None:
    assert draws.spreads(Sweep(trials=(trial(0, [0.5]),), objectives=(F1,))) == ()
    assert draws.spreads(Sweep()) == ()
