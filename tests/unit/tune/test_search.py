"""Which configurations are tried, by each search."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest

from eagleray.spec.dimension import DimensionSpec
from eagleray.spec.search import GridSearchSpec, OptunaSearchSpec, RandomSearchSpec, SearchSpec
from eagleray.spec.space import holds
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store.sweeps import Report, State, Trial
from eagleray.tune import grid, search
from eagleray.tune.grid import Params
from eagleray.tune.search import Search
from tests.support.sweep_documents import METHOD, RATE, space_of

GRID, RANDOM = GridSearchSpec(type="grid"), RandomSearchSpec(type="random", seed=3)
TPE = OptunaSearchSpec(type="optuna", seed=3, random_trials=4)
SCORE = ObjectiveSpec(metric="f1_macro", mode="max")
COST = ObjectiveSpec(metric="loss", mode="min")

MIXED = (
    f"{RATE}, {METHOD}, method.alpha: {{uniform: [1, 32], when: {{method.rank: 8}}}}, "
    "train.epochs: {int_uniform: [1, 9]}, train.weight_decay: {quantized: [0, 0.3, 0.1]}, "
    "method.target_modules: {choice: [[q], [q, v]], when: {method.type: lora}}, "
    "method.dropout: {choice: [0.0, 0.1], when: {method.target_modules: [q, v]}}"
)


def _build(spec: SearchSpec, space: Mapping[str, DimensionSpec], *objectives: ObjectiveSpec) -> Search:
    return search.build(spec, space, objectives=objectives or (SCORE,))


def _trial(number: int, params: Params, value: float | None, *, state: State = "finished", **more: float) -> Trial:
    """A trial with one evaluation; None: without any."""
    metrics = {} if value is None else {"f1_macro": value, **more}
    reports = () if value is None else (Report(10, metrics=metrics, seconds=1.0),)
    return Trial(number, params=params, state=state, reports=reports)


def _asked(found: Search, num_trials: int, score: Callable[[Params], float]) -> list[Trial]:
    """So many trials, one after another, each told before the next is asked for."""
    trials = []
    for number in range(num_trials):
        params = found.ask(number, turn=number, known={})
        assert params is not None
        trials.append(_trial(number, params, score(params)))
        found.tell(trials[-1])
    return trials


def _score(params: Params) -> float:
    """Highest at a rate of 1e-4, with adapters."""
    return -abs(math.log10(params["train.learning_rate"]) + 4) + 0.1 * (params.get("method.type") == "lora")


SEARCHES = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(RANDOM, id="random"),
        pytest.param(TPE, id="tpe"),
        pytest.param(TPE.model_copy(update={"sampler": "gp"}), id="gp"),
    ],
)


@SEARCHES
def test_the_same_seed_and_results_give_the_same_configurations(spec: SearchSpec) -> None:
    first, second = (_asked(_build(spec, space_of(MIXED)), 9, _score) for _ in range(2))

    assert first == second


@SEARCHES
def test_after_a_restart_it_goes_on_as_if_there_had_been_none(spec: SearchSpec) -> None:
    whole = _asked(_build(spec, space_of(MIXED)), 9, _score)
    for told in (3, 6):
        again = _build(spec, space_of(MIXED))
        for trial in whole[:told]:  # as the log has them: through JSON
            again.tell(Trial(trial.number, json.loads(json.dumps(trial.params)), trial.state, trial.reports))
        for trial in whole[told:]:
            assert again.ask(trial.number, turn=trial.number, known={}) == trial.params
            again.tell(trial)


@SEARCHES
def test_other_seeds_draw_other_configurations(spec: RandomSearchSpec | OptunaSearchSpec) -> None:
    """Not the same a trial later, either: seeds are compared with each other."""
    found = [_build(spec.model_copy(update={"seed": seed}), space_of(RATE)) for seed in range(3)]

    rates = [
        params["train.learning_rate"] for each in found for n in range(4) if (params := each.ask(n, turn=n, known={}))
    ]

    assert len(set(rates)) == 12


@SEARCHES
def test_a_value_is_in_its_range_and_there_only_where_its_conditions_hold(spec: SearchSpec) -> None:
    space = space_of(MIXED)

    trials = _asked(_build(spec, space), 12, _score)

    for trial in trials:
        expected = {
            key
            for key, dimension in space.items()
            if all(trial.params.get(other) == value for other, value in dimension.when.items())
        }
        assert trial.params.keys() == expected
        assert all(holds(space[key], value) for key, value in trial.params.items())
    seen = set().union(*(trial.params for trial in trials))
    assert seen == set(space)


@pytest.mark.parametrize("spec", [RANDOM, TPE], ids=["random", "tpe"])
def test_a_wide_range_of_whole_numbers_is_drawn_from_not_listed(spec: SearchSpec) -> None:
    params = _build(spec, space_of("train.seed: {int_uniform: [0, 2147483647]}")).ask(0, turn=0, known={})

    assert params is not None
    assert isinstance(params["train.seed"], int)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        pytest.param(
            "train.seed: {grid: [1, 2]}, train.epochs: {grid: [3, 4]}",
            [{"train.seed": seed, "train.epochs": epochs} for seed in (1, 2) for epochs in (3, 4)],
            id="last-key-changes-fastest",
        ),
        pytest.param(
            "train.epochs: {int_uniform: [1, 3]}",
            [{"train.epochs": number} for number in (1, 2, 3)],
            id="whole-numbers",
        ),
        pytest.param(
            "train.weight_decay: {quantized: [0, 0.2, 0.1]}",
            [{"train.weight_decay": number} for number in (0, 0.1, 0.2)],
            id="steps",
        ),
        pytest.param(
            METHOD,
            [{"method.type": "full"}, *({"method.type": "lora", "method.rank": rank} for rank in (4, 8, 16))],
            id="combinations-that-differ-in-a-key-that-is-not-there-are-one",
        ),
        pytest.param(
            "train.seed: {grid: [1, 1, 2]}", [{"train.seed": 1}, {"train.seed": 2}], id="a-value-twice-is-one"
        ),
    ],
)
def test_a_grid_is_complete_and_without_duplicates(space: str, expected: list[Params]) -> None:
    found = _build(GRID, space_of(space))

    assert [found.ask(turn, turn=turn, known={}) for turn in range(len(expected) + 1)] == [*expected, None]
    assert grid.size(space_of(space)) == len(expected)


def test_random_goes_through_a_grid_and_draws_the_rest() -> None:
    found = _build(RANDOM, space_of(f"train.seed: {{grid: [1, 2, 3]}}, train.epochs: {{grid: [7, 8]}}, {RATE}"))

    asked = [params for turn in range(12) if (params := found.ask(turn, turn=turn, known={}))]

    points = [(params["train.seed"], params["train.epochs"]) for params in asked]
    assert points == [(seed, epochs) for seed in (1, 2, 3) for epochs in (7, 8)] * 2
    assert len({params["train.learning_rate"] for params in asked}) == 12


@pytest.mark.parametrize("spec", [GRID, RANDOM, TPE], ids=["grid", "random", "tpe"])
@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param({"method.type": "lora", "method.rank": 16}, {"method.type": "lora", "method.rank": 16}, id="all"),
        pytest.param({"method.type": "full"}, {"method.type": "full"}, id="a-type"),
        pytest.param(
            {"method.type": "full", "method.rank": 4}, {"method.type": "full"}, id="a-key-that-is-not-there-then"
        ),
    ],
)
def test_what_is_known_is_taken(spec: SearchSpec, known: Params, expected: Params) -> None:
    assert _build(spec, space_of(METHOD)).ask(0, turn=0, known=known) == expected


@pytest.mark.parametrize("spec", [GRID, RANDOM, TPE], ids=["grid", "random", "tpe"])
def test_what_is_not_known_is_searched(spec: SearchSpec) -> None:
    params = _build(spec, space_of(f"{METHOD}, train.epochs: {{int_uniform: [1, 9]}}")).ask(
        0, turn=0, known={"method.type": "lora", "train.epochs": 5}
    )

    assert params is not None
    assert params["method.rank"] in (4, 8, 16)
    assert (params["method.type"], params["train.epochs"]) == ("lora", 5)


def test_known_configurations_take_no_place_in_the_grid() -> None:
    found = _build(GRID, space_of("train.seed: {grid: [1, 2]}"))

    assert found.ask(0, turn=0, known={"train.seed": 2}) == {"train.seed": 2}
    assert [found.ask(number, turn=number - 1, known={}) for number in (1, 2, 3)] == [
        {"train.seed": 1},
        {"train.seed": 2},
        None,
    ]


def test_optuna_takes_a_list_that_is_known() -> None:
    space = space_of(
        "method.type: {choice: [lora]}, method.target_modules: {choice: [[q], [q, v]], when: {method.type: lora}}"
    )

    params = _build(TPE, space).ask(0, turn=0, known={"method.target_modules": ("q", "v")})

    assert params == {"method.type": "lora", "method.target_modules": ("q", "v")}


def _studied(found: Search) -> Any:
    assert isinstance(found, search.Optuna)
    return found._study.trials[-1]


CURVE = tuple(Report(step, metrics={"f1_macro": step / 100}, seconds=1.0) for step in (10, 20))


@pytest.mark.parametrize("was_asked", [True, False], ids=["asked", "from-the-log"])
@pytest.mark.parametrize(
    ("trial", "state", "values", "curve"),
    [
        pytest.param(Trial(0, {}, "finished", CURVE), "COMPLETE", [0.2], {}, id="finished-with-its-best"),
        pytest.param(Trial(0, {}, "pruned", CURVE), "PRUNED", None, {10: 0.1, 20: 0.2}, id="pruned-keeps-its-curve"),
        pytest.param(Trial(0, {}, "pruned"), "FAIL", None, {}, id="pruned-before-it-was-evaluated"),
        pytest.param(Trial(0, {}, "unfit"), "PRUNED", None, {}, id="unfit-is-worst"),
        pytest.param(Trial(0, {}, "unfit", CURVE), "PRUNED", None, {}, id="unfit-after-an-evaluation"),
        pytest.param(Trial(0, {}, "failed", CURVE), "FAIL", None, {}, id="failed-says-nothing-of-the-configuration"),
        pytest.param(_trial(0, {}, math.nan), "FAIL", None, {}, id="no-value"),
    ],
)
def test_what_optuna_is_told(
    was_asked: bool, trial: Trial, state: str, values: list[float] | None, curve: dict[int, float]
) -> None:
    found = _build(TPE, space_of(RATE))
    params = (found.ask(0, turn=0, known={}) if was_asked else None) or {"train.learning_rate": 1e-4}

    found.tell(Trial(0, params, trial.state, trial.reports))

    told = _studied(found)
    assert (told.state.name, told.values, told.intermediate_values) == (state, values, curve)
    assert told.params == params


@pytest.mark.parametrize("was_asked", [True, False], ids=["asked", "from-the-log"])
@pytest.mark.parametrize(
    ("state", "more", "told_state", "values"),
    [
        pytest.param("finished", {"loss": 0.5}, "COMPLETE", [0.9, 0.5], id="finished"),
        pytest.param("pruned", {"loss": 0.5}, "COMPLETE", [0.9, 0.5], id="pruned-by-what-it-came-to"),
        pytest.param("finished", {}, "FAIL", None, id="one-is-missing"),
        pytest.param("unfit", {"loss": 0.5}, "FAIL", None, id="unfit"),
    ],
)
def test_what_optuna_is_told_of_two_objectives(
    was_asked: bool, state: State, more: dict[str, float], told_state: str, values: list[float] | None
) -> None:
    found = _build(TPE, space_of(RATE), SCORE, COST)
    params = (found.ask(0, turn=0, known={}) if was_asked else None) or {"train.learning_rate": 1e-4}

    found.tell(_trial(0, params, 0.9, state=state, **more))

    told = _studied(found)
    assert (told.state.name, told.values) == (told_state, values)


def _dear(params: Params) -> dict[str, float]:
    """The higher the rate the better, and the dearer."""
    return {"f1_macro": params["train.learning_rate"], "loss": params["train.learning_rate"]}


def _num_cheap(spec: SearchSpec, num_trials: int, *constraints: ConstraintSpec) -> int:
    """So many of those that were chosen cost little, where the best ones cost much."""
    space = space_of("train.learning_rate: {uniform: [0.001, 1]}")
    found = search.build(spec, space, objectives=(SCORE,), constraints=constraints)
    count = 0
    for number in range(num_trials):
        params = found.ask(number, turn=number, known={})
        assert params is not None
        found.tell(Trial(number, params, "finished", (Report(10, metrics=_dear(params), seconds=1.0),)))
        count += params["train.learning_rate"] <= 0.25
    return count


@pytest.mark.parametrize(("sampler", "num_trials"), [("tpe", 24), ("gp", 9)], ids=["tpe", "gp"])
def test_optuna_keeps_to_the_constraints(sampler: Literal["tpe", "gp"], num_trials: int) -> None:
    spec = OptunaSearchSpec(type="optuna", sampler=sampler, random_trials=4)

    kept = _num_cheap(spec, num_trials, ConstraintSpec(metric="loss", at_most=0.25))

    assert kept >= 2 * _num_cheap(spec, num_trials)


def test_optuna_is_told_by_how_much_a_constraint_is_broken_also_of_trials_of_the_log() -> None:
    constraints = (ConstraintSpec(metric="loss", at_most=0.25),)
    found = search.build(TPE, space_of(RATE), objectives=(SCORE,), constraints=constraints)
    asked = found.ask(0, turn=0, known={}) or {}

    found.tell(_trial(0, asked, 0.9, loss=1.0))
    found.tell(_trial(1, {"train.learning_rate": 1e-4}, 0.9, loss=0.25))
    found.tell(_trial(2, {"train.learning_rate": 1e-4}, 0.9))

    assert isinstance(found, search.Optuna)
    assert [trial.constraints["violation"] for trial in found._study.trials] == [0.75, 0.0, 1e12]


def test_optuna_asks_for_several_at_once_and_none_twice() -> None:
    found = _build(TPE, space_of(RATE))
    _asked(found, 6, _score)

    asked = [params for number in range(6, 12) if (params := found.ask(number, turn=number, known={}))]

    assert len({params["train.learning_rate"] for params in asked}) == 6


SYNTHETIC = (
    "train.learning_rate: {log_uniform: [1.0e-6, 1.0e-1]}, train.weight_decay: {uniform: [0, 1]}, "
    "train.label_smoothing: {uniform: [0, 0.9]}"
)


def _bowl(params: Params) -> float:
    """0 at a rate of 1e-3, a decay of 0.3 and a smoothing of 0.1; below that elsewhere."""
    rate, decay, smoothing = (
        float(params[f"train.{key}"]) for key in ("learning_rate", "weight_decay", "label_smoothing")
    )
    return -((math.log10(rate) + 3) ** 2) - 9 * (decay - 0.3) ** 2 - 9 * (smoothing - 0.1) ** 2


def test_tpe_finds_as_good_a_point_as_random_with_half_the_trials() -> None:
    space, seeds = space_of(SYNTHETIC), range(7)

    def best(spec: SearchSpec, num_trials: int) -> float:
        return max(_bowl(dict(trial.params)) for trial in _asked(_build(spec, space), num_trials, _bowl))

    drawn = [best(RandomSearchSpec(type="random", seed=seed), 48) for seed in seeds]
    chosen = [best(OptunaSearchSpec(type="optuna", seed=seed), 24) for seed in seeds]

    assert statistics.median(chosen) >= statistics.median(drawn)
