"""Which parameters decide."""

from __future__ import annotations

import random

import pytest

from eagleray.report import importance
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store.sweeps import Trial
from tests.support import sweep_samples
from tests.support.sweep_samples import trial

F1 = ObjectiveSpec(metric="f1_macro", mode="max")
LOSS = ObjectiveSpec(metric="f1_macro", mode="min")


def _finished(count: int) -> list[Trial]:
    """The objective is a parameter; another one is noise."""
    draw = random.Random(0)
    params = [{"strong": draw.random(), "weak": draw.random(), "same": 1.0} for _ in range(count)]
    return [trial(number, [each["strong"]], params=each) for number, each in enumerate(params)]


def _conditional(count: int) -> list[Trial]:
    """A rank, which half of the trials have, decides among those."""
    draw = random.Random(0)
    trials = []
    for number in range(count):
        method = ("lora", "full")[number % 2]
        params = {"method.type": method} | ({"method.rank": draw.choice([2, 4, 8, 16])} if method == "lora" else {})
        trials.append(trial(number, [0.3 + params.get("method.rank", 0) / 50], params=params))
    return trials


@pytest.mark.parametrize("objective", [F1, LOSS], ids=["max", "min"])
def test_what_decides_comes_first(objective: ObjectiveSpec) -> None:
    found = importance.estimate(_finished(40), objective=objective)

    assert next(iter(found.shares)) == "strong"
    assert found.shares["strong"] > 0.7
    assert found.shares["same"] == 0.0
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.basis == "By 40 trials, those that came to their end."


def test_a_conditional_parameter_has_a_share() -> None:
    found = importance.estimate(_conditional(40), objective=F1)

    assert found.shares["method.rank"] > 0.3
    assert set(found.shares) == {"method.type", "method.rank"}


def test_pruned_trials_are_compared_at_a_step_that_all_have_reached() -> None:
    found = importance.estimate(sweep_samples.asha().trials, objective=F1)

    assert "compared at step 30, which pruned ones have reached, too" in found.basis
    assert next(iter(found.shares)) == "train.learning_rate"


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        pytest.param([], "0 trials can be compared", id="no-trials"),
        pytest.param([trial(0, [0.5])], "1 trial can be compared", id="one"),
        pytest.param(_finished(9), "9 trials can be compared", id="too-few"),
        pytest.param([trial(n, state="failed") for n in range(20)], "0 trials can be compared", id="all-failed"),
        pytest.param([trial(n, [0.5], state="running") for n in range(20)], "0 trials can", id="all-running"),
        pytest.param([trial(n, [float("nan")]) for n in range(20)], "0 trials can be compared", id="nan"),
        pytest.param([trial(n, [0.5], params={"x": n}) for n in range(20)], "the same value", id="equal-values"),
        pytest.param([trial(n, [n / 20]) for n in range(20)], "no parameter differs", id="equal-parameters"),
        pytest.param([trial(n, [n / 20], params={}) for n in range(20)], "no parameter differs", id="no-parameters"),
        pytest.param(
            [trial(n, [None, 0.5] if n else [0.5], state="pruned", params={"x": n}) for n in range(20)],
            "1 trial can be compared",
            id="no-value-at-the-common-step",
        ),
    ],
)
def test_what_cannot_be_told_is_told_in_words(trials: list[Trial], words: str) -> None:
    found = importance.estimate(trials, objective=F1)

    assert words in found.basis
    assert found.shares == {}
    assert importance.figure(found) is None


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([("q", "v"), ("q",)], id="lists"),
        pytest.param([["q", "v"], ["q"]], id="lists-out-of-json"),
        pytest.param([8, "auto"], id="numbers-and-words"),
        pytest.param([True, False], id="truths"),
        pytest.param([1.5, float("nan")], id="nan"),
        pytest.param([0, 1e-3], id="whole-and-fraction"),
    ],
)
def test_values_of_any_kind_are_weighed(values: list[object]) -> None:
    trials = [trial(n, [0.1 + (n % 2) / 2 + n / 1000], params={"key": values[n % 2]}) for n in range(20)]

    assert importance.estimate(trials, objective=F1).shares == {"key": 1.0}


def test_figure_has_a_bar_a_parameter_the_largest_on_top() -> None:
    (bars,) = importance.figure(importance.Importance({"large": 0.8, "<small>": 0.2})).data

    assert bars.y == ("&lt;small&gt;", "large")
    assert bars.text == ("20%", "80%")
