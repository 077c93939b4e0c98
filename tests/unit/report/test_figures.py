"""What the figures show: curves, parallel coordinates, trade-offs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import pytest

from eagleray.report import coordinates, curves, drawing, tradeoffs
from eagleray.report.palette import COLOURS
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import ranking
from eagleray.store.sweeps import Change, Sweep, Trial
from tests.support import sweep_samples
from tests.support.sweep_samples import trial

NAN = float("nan")
F1 = ObjectiveSpec(metric="f1_macro", mode="max")
LATENCY = ObjectiveSpec(metric="latency_ms", mode="min")


def _named(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data if trace.name}


def _curves(*trials: Trial) -> go.Figure:
    ranked = ranking.ranked(trials, objectives=[F1])
    return curves.figure(Sweep(trials), objective=F1, best_trial=ranked[0] if ranked else None)


@pytest.mark.parametrize(
    ("trials", "names"),
    [
        pytest.param([], None, id="no-trials"),
        pytest.param([trial(0, state="failed")], None, id="failed-before-the-first-evaluation"),
        pytest.param([trial(0, [None, NAN])], None, id="no-value"),
        pytest.param([trial(0, [0.5])], ["best: trial 0"], id="one"),
        pytest.param([trial(0, [0.5]), trial(1, [0.6])], ["best: trial 1", "finished"], id="two"),
        pytest.param(
            [trial(0, [0.5]), trial(1, [0.4], state="pruned"), trial(2, [0.3], state="running")],
            ["best: trial 0", "pruned", "running"],
            id="states",
        ),
    ],
)
def test_curves_of(trials: list[Trial], names: list[str] | None) -> None:
    figure = _curves(*trials)

    assert (sorted(_named(figure)) if figure else None) == names


def test_a_pruned_curve_is_dashed_and_ends_in_a_cross() -> None:
    figure = _curves(trial(0, [0.5, 0.6]), trial(1, [0.3, 0.4, None], state="pruned"))
    (end,) = [trace for trace in figure.data if trace.marker.symbol == "x-thin"]

    assert _named(figure)["pruned"].line.dash == "dash"
    assert (end.x, end.y) == ((20,), (0.4,))


def test_curves_of_one_state_are_lines_of_their_own() -> None:
    figure = _curves(trial(0, [0.9]), trial(1, [0.1, 0.2]), trial(2, [0.3, NAN, 0.4]))

    assert _named(figure)["finished"].x == (10, 20, None, 10, 30)


def test_a_star_is_at_the_best_evaluation() -> None:
    (star,) = [trace for trace in _curves(trial(0, [0.5, 0.7, 0.6])).data if trace.marker.symbol == "star"]

    assert (star.x, star.y) == ((20,), (0.7,))


@pytest.mark.parametrize(
    ("step", "value"),
    [
        pytest.param(20, 0.6, id="at-an-evaluation"),
        pytest.param(25, 0.6, id="between"),
        pytest.param(5, 0.5, id="before-the-first"),
        pytest.param(99, 0.7, id="after-the-last"),
    ],
)
def test_a_diamond_tells_the_values_that_a_trial_went_on_with(step: int, value: float) -> None:
    change = Change(step, params={"train.learning_rate": 2.5e-4}, donor=3)
    changed = _named(_curves(trial(0, [0.5, 0.6, 0.7], changes=[change])))["changed"]

    assert (changed.x, changed.y) == ((step,), (value,))
    assert "from trial 3" in changed.text[0]
    assert "train.learning_rate: 0.00025" in changed.text[0]


@pytest.mark.parametrize(
    ("values", "places", "ticks"),
    [
        pytest.param([1.0, 2.0, 3.0], [0, 0.5, 1], ["1", "1.5", "2", "2.5", "3"], id="numbers"),
        pytest.param([1e-5, 1e-4, 1e-3], [0, 0.5, 1], ["1e-05", "3.16e-05", "0.0001", "0.000316", "0.001"], id="rates"),
        pytest.param([4, 32, 8], [0, 1, 0.5], ["4", "8", "32"], id="few-whole-numbers"),
        pytest.param(["lora", "full"], [1, 0], ["full", "lora"], id="words"),
        pytest.param([True, False], [1, 0], ["false", "true"], id="truths"),
        pytest.param([0.5, 0.5], [0.5, 0.5], ["0.5"], id="one-value"),
        pytest.param(["lora"], [0.5], ["lora"], id="one-word"),
        pytest.param([8, "auto"], [0, 1], ["8", "auto"], id="numbers-and-words"),
        pytest.param([1.5, NAN], [0, 1], ["1.5", "nan"], id="nan"),
        pytest.param([("q", "v"), ("q",)], [1, 0], ["q", "q, v"], id="lists"),
        pytest.param([["q", "v"], ["q"]], [1, 0], ["q", "q, v"], id="lists-out-of-json"),
        pytest.param([1.0, None, 3.0], [0, -0.14, 1], ["1", "1.5", "2", "2.5", "3", "not set"], id="missing-number"),
        pytest.param(["lora", None], [0.5, -0.14], ["lora", "not set"], id="missing-word"),
        pytest.param(["<b>bold</b>"], [0.5], ["&lt;b&gt;bold&lt;/b&gt;"], id="markup"),
    ],
)
def test_places_on_an_axis(values: list[Any], places: list[float], ticks: list[str]) -> None:
    params = [{} if value is None else {"key": value} for value in values]
    trials = [trial(number, [0.5], params=each) for number, each in enumerate(params)]
    axis = coordinates.axes(trials, objectives=[F1])[0]

    assert [axis.places[number] for number in range(len(values))] == pytest.approx(places)
    assert [text for _, text in axis.ticks] == ticks


def test_a_trial_without_a_value_is_at_the_foot_of_the_objective() -> None:
    objective = coordinates.axes([trial(0, [0.5]), trial(1, state="failed"), trial(2, [0.7])], objectives=[F1])[-1]

    assert objective.places == {0: 0.0, 1: -0.14, 2: 1.0}
    assert objective.ticks[-1] == (-0.14, "no value")


@pytest.mark.parametrize(
    ("trials", "names"),
    [
        pytest.param([], None, id="no-trials"),
        pytest.param([trial(0, [0.5], params={})], None, id="no-parameters"),
        pytest.param([trial(0, [0.5])], ["best: trial 0"], id="one"),
        pytest.param([trial(0, state="failed")], ["not ranked (1)"], id="failed"),
        pytest.param(
            [trial(number, [number / 10]) for number in range(7)],
            ["lower third (2)", "middle third (2)", "upper third (2)", "best: trial 6"],
            id="thirds",
        ),
        pytest.param(
            [trial(number, [number / 10]) for number in range(3)],
            ["middle third (1)", "upper third (1)", "best: trial 2"],
            id="three",
        ),
    ],
)
def test_parallel_coordinates_of(trials: list[Trial], names: list[str] | None) -> None:
    ranked = ranking.ranked(trials, objectives=[F1])
    figure = coordinates.figure(Sweep(tuple(trials)), objectives=[F1], ranked=ranked)

    assert ([trace.name for trace in figure.data] if figure else None) == names


@pytest.mark.parametrize(
    ("trials", "names"),
    [
        pytest.param([], None, id="no-trials"),
        pytest.param([trial(0, state="failed")], None, id="failed"),
        pytest.param([trial(0, [0.5])], ["best: trial 0"], id="one"),
        pytest.param([trial(0, [0.5]), trial(1, [0.4], state="pruned")], ["pruned", "best: trial 0"], id="pruned"),
    ],
)
def test_cost_of(trials: list[Trial], names: list[str] | None) -> None:
    figure = _cost(Sweep(tuple(trials)))

    assert ([trace.name for trace in figure.data] if figure else None) == names


@pytest.mark.parametrize(
    ("num_evaluations", "cost", "unit"),
    [
        pytest.param(3, 60.0, "seconds", id="seconds"),
        pytest.param(60, 20.0, "minutes", id="minutes"),
        pytest.param(720, 4.0, "hours", id="hours"),
    ],
)
def test_cost_has_the_unit_that_fits(num_evaluations: int, cost: float, unit: str) -> None:
    figure = _cost(Sweep((trial(0, [0.5] * num_evaluations),)))

    assert figure.data[0].x == (cost,)
    assert figure.layout.xaxis.title.text == f"{unit} of training"


def test_cost_of_trials_with_several_objectives() -> None:
    sweep = sweep_samples.two_objectives()
    traces = _named(_cost(sweep, [F1, LATENCY]))
    first = ranking.ranked(sweep.trials, objectives=[F1, LATENCY])[0]
    (marked,) = [trace for name, trace in traces.items() if name.startswith("best")]

    assert sum(len(trace.x) for trace in traces.values()) == len(sweep.trials)
    assert list(marked.y) == [first.reports[0].metrics["f1_macro"]]
    assert {*marked.x} == {200 / 60}


def test_pareto_front_goes_from_one_objective_to_the_other() -> None:
    sweep = sweep_samples.two_objectives()
    front = _named(_tradeoffs(sweep, [F1, LATENCY]))
    expected = ranking.pareto_front(sweep.trials, objectives=[F1, LATENCY])
    (marked,) = [trace for name, trace in front.items() if name.startswith("Pareto front")]

    assert len(marked.x) == len(expected)
    assert list(marked.x) == sorted(marked.x)
    assert list(marked.y) == sorted(marked.y)


def test_a_trial_that_breaks_a_constraint_is_not_on_the_front() -> None:
    fast = ConstraintSpec(metric="latency_ms", at_most=8)
    figure = _tradeoffs(sweep_samples.two_objectives(), [F1, LATENCY], [fast])
    traces = _named(figure)

    assert min(traces["not ranked"].y) > 8
    assert all(max(trace.y) <= 8 for name, trace in traces.items() if name != "not ranked")


def test_a_missing_second_objective_is_not_drawn() -> None:
    assert _tradeoffs(Sweep((trial(0, [0.5]),)), [F1, LATENCY]) is None


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        pytest.param([], None, id="none"),
        pytest.param([1.0, 2.0, 1e9], None, id="too-few-to-call-one-wild"),
        pytest.param([1.0, 1.1, 1.2, 1.3], None, id="tame"),
        pytest.param([1.0, 1.0, 1.0, 1.0, 5.0], None, id="all-but-one-equal"),
        pytest.param([1.0, 1.1, 1.2, 1.3, 1e9], (0.982, 1.318), id="wild"),
        pytest.param([1.0, 1.1, 1.2, 1.3, NAN], None, id="nan"),
    ],
)
def test_bounds_leave_out_what_is_wild(values: list[float], shown: tuple[float, float] | None) -> None:
    assert drawing.bounds(values) == (pytest.approx(shown) if shown else None)


def test_every_light_colour_has_one_dark_one() -> None:
    assert len({colour.light for colour in COLOURS.values()}) == len(COLOURS)


def _tradeoffs(
    sweep: Sweep, objectives: Sequence[ObjectiveSpec], constraints: Sequence[ConstraintSpec] = ()
) -> go.Figure | None:
    ranked = ranking.ranked(sweep.trials, objectives=objectives, constraints=constraints)
    return tradeoffs.against_each_other(sweep, objectives=objectives, ranked=ranked)


def _cost(sweep: Sweep, objectives: Sequence[ObjectiveSpec] = (F1,)) -> go.Figure | None:
    ranked = ranking.ranked(sweep.trials, objectives=objectives)
    return tradeoffs.against_cost(sweep, objective=objectives[0], ranked=ranked)
