"""Which trials are stopped early, also by a driver that has not seen all of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import TrialScheduler

from eagleray.errors import UserError
from eagleray.spec.search import AshaSpec, FifoSpec, HyperbandSpec, MedianSpec, PbtSpec, SchedulerSpec
from eagleray.spec.space import holds
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store.sweeps import Report, State, Trial
from eagleray.tune import rungs, schedulers
from tests.support.sweep_documents import RATE, space_of

SCORE = ObjectiveSpec(metric="f1_macro", mode="max")
COST = ObjectiveSpec(metric="loss", mode="min")
TOTAL_STEPS = 90
NOBODY: Any = None
ASHA, MEDIAN = AshaSpec(type="asha"), MedianSpec(type="median")


@dataclass(frozen=True)
class Asked:
    """A trial of Tune, as far as a scheduler asks it."""

    trial_id: str
    config: dict[str, Any]

    def __hash__(self) -> int:
        return hash(self.trial_id)


def _build(
    spec: SchedulerSpec, *, objective: ObjectiveSpec = SCORE, total_steps: int = TOTAL_STEPS, space: str = RATE
) -> Any:
    return schedulers.build(spec, objective=objective, total_steps=total_steps, space=space_of(space))


def _asked(number: int, *, driver: str = "a") -> Asked:
    return Asked(f"{driver}-{number}", {"trial": number, "params": {}})


def _result(step: int, value: float, *, objective: ObjectiveSpec = SCORE) -> dict[str, Any]:
    return {"step": step, schedulers.result_key(objective.metric): value}


def _trial(number: int, values: Sequence[float], *, state: State = "finished") -> Trial:
    reports = (Report(10 * count, metrics={"f1_macro": value}, seconds=0.0) for count, value in enumerate(values, 1))
    return Trial(number, params={}, state=state, reports=tuple(reports))


def _run(scheduler: Any, number: int, values: Iterable[float], *, first_step: int = 0, driver: str = "a") -> list[int]:
    """Let a trial tell a value every ten steps until it is stopped; the steps at which it told."""
    trial = _asked(number, driver=driver)
    scheduler.on_trial_add(NOBODY, trial)
    told: list[int] = []
    for step, value in enumerate(values, start=1 + first_step // 10):
        told.append(10 * step)
        if scheduler.on_trial_result(NOBODY, trial, _result(10 * step, value)) != TrialScheduler.CONTINUE:
            break
    scheduler.on_trial_complete(NOBODY, trial, _result(10 * step, value))
    return told


@pytest.mark.parametrize(
    ("spec", "total_steps", "expected"),
    [
        pytest.param(FifoSpec(type="fifo"), 90, 10, id="fifo-a-ninth"),
        pytest.param(ASHA, 90, 10, id="asha-a-ninth"),
        pytest.param(ASHA, 5, 1, id="asha-of-few-steps"),
        pytest.param(AshaSpec(type="asha", max_steps=45), 90, 5, id="asha-a-ninth-of-its-last-rung"),
        pytest.param(AshaSpec(type="asha", grace_steps=7), 90, 7, id="asha-as-given"),
        pytest.param(AshaSpec(type="asha", grace_steps=90), 90, 90, id="asha-at-the-end"),
        pytest.param(HyperbandSpec(type="hyperband"), 90, 10, id="hyperband-a-ninth"),
        pytest.param(HyperbandSpec(type="hyperband", max_steps=45), 90, 5, id="hyperband-of-its-last-rung"),
        pytest.param(MEDIAN, 90, 10, id="median-a-ninth"),
        pytest.param(MedianSpec(type="median", grace_steps=7), 90, 7, id="median-as-given"),
        pytest.param(PbtSpec(type="pbt", every_steps=20), 90, 20, id="pbt-its-interval"),
    ],
)
def test_grace_steps(spec: SchedulerSpec, total_steps: int, expected: int) -> None:
    assert rungs.grace_steps(spec, total_steps) == expected


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param(AshaSpec(type="asha", grace_steps=91), "91 is more than the 90 optimizer steps", id="asha"),
        pytest.param(
            AshaSpec(type="asha", grace_steps=91, max_steps=200),
            "91 is more than the 90 optimizer steps",
            id="asha-max",
        ),
        pytest.param(MedianSpec(type="median", grace_steps=91), "91 is more than the 90 optimizer steps", id="median"),
    ],
)
def test_a_grace_that_no_trial_comes_to(spec: SchedulerSpec, told: str) -> None:
    with pytest.raises(UserError, match=told):
        rungs.grace_steps(spec, TOTAL_STEPS)


ALL = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(FifoSpec(type="fifo"), id="fifo"),
        pytest.param(ASHA, id="asha"),
        pytest.param(HyperbandSpec(type="hyperband"), id="hyperband"),
        pytest.param(MEDIAN, id="median"),
        pytest.param(PbtSpec(type="pbt", every_steps=1), id="pbt"),
    ],
)


@ALL
@pytest.mark.parametrize("total_steps", [1, 2, 8, 9, 10_000])
def test_each_scheduler_is_built_for_trials_of_any_length(spec: SchedulerSpec, total_steps: int) -> None:
    assert isinstance(_build(spec, total_steps=total_steps), TrialScheduler)


def test_each_kind_of_the_document_is_tested() -> None:
    kinds = {kind.__name__ for kind in get_args(get_args(SchedulerSpec)[0])}

    assert kinds == {"FifoSpec", "AshaSpec", "HyperbandSpec", "MedianSpec", "PbtSpec"}


def test_fifo_stops_nothing() -> None:
    scheduler = _build(FifoSpec(type="fifo"))

    assert [len(_run(scheduler, number, [0.9 / (number + 1)] * 9)) for number in range(4)] == [9] * 4


def test_asha_stops_the_worse_two_thirds_at_each_rung() -> None:
    scheduler = _build(ASHA)
    values = [0.9, 0.1, 0.8, 0.95, 0.2]

    last = [_run(scheduler, number, [value] * 9)[-1] for number, value in enumerate(values)]

    assert last == [90, 10, 10, 90, 10]


def test_asha_tells_equal_scores_apart_by_their_loss() -> None:
    asha = _build(ASHA)
    decisions = {}
    for number in range(9):
        trial = _asked(number)
        asha.on_trial_add(NOBODY, trial)
        told = _result(10, 0.366) | {schedulers.result_key("loss"): 0.6 + number / 100}
        decisions[number] = asha.on_trial_result(NOBODY, trial, told)
    assert [number for number, decision in decisions.items() if decision == TrialScheduler.CONTINUE] == [0]


@pytest.mark.parametrize("concurrent", [1, 2, 4])
def test_asha_spends_less_than_two_fifths_of_the_steps_and_finds_the_best(concurrent: int) -> None:
    """Sixteen trials, whose curves show early what they come to, as many at once as given."""
    draw = random.Random(concurrent)
    tops = draw.sample(range(16), 16)
    scheduler = _build(AshaSpec(type="asha", reduction_factor=4))
    waiting, going, steps = list(range(16)), dict[int, int](), dict[int, int]()
    while waiting or going:
        while waiting and len(going) < concurrent:
            going[waiting.pop(0)] = 0
        for number in list(going):
            going[number] += 10
            told = _result(going[number], tops[number] * going[number] / 90)
            if scheduler.on_trial_result(NOBODY, _asked(number), told) != TrialScheduler.CONTINUE:
                steps[number] = going.pop(number)

    assert steps[tops.index(15)] == TOTAL_STEPS
    assert sum(steps.values()) <= 0.4 * 16 * TOTAL_STEPS


def test_asha_stops_by_a_loss_that_is_higher() -> None:
    scheduler = _build(ASHA, objective=COST)
    decisions = []
    for number, loss in enumerate((0.1, 0.9)):
        scheduler.on_trial_add(NOBODY, _asked(number))
        decisions.append(scheduler.on_trial_result(NOBODY, _asked(number), _result(10, loss, objective=COST)))

    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.STOP]


@pytest.mark.parametrize("spec", [ASHA, MEDIAN], ids=["asha", "median"])
def test_an_evaluation_without_a_value_stops_nothing(spec: SchedulerSpec) -> None:
    scheduler = _build(spec)
    for number in range(5):
        _run(scheduler, number, [0.9] * 9)
    scheduler.on_trial_add(NOBODY, _asked(9))

    assert scheduler.on_trial_result(NOBODY, _asked(9), {"step": 10}) == TrialScheduler.CONTINUE


@pytest.mark.parametrize("spec", [FifoSpec(type="fifo"), ASHA, MEDIAN], ids=["fifo", "asha", "median"])
def test_a_trial_that_ends_before_it_is_evaluated_does_not_end_the_sweep(spec: SchedulerSpec) -> None:
    scheduler = _build(spec)
    for number in range(4):
        trial = _asked(number)
        scheduler.on_trial_add(NOBODY, trial)
        scheduler.on_trial_complete(NOBODY, trial, {"step": 0, "state": "unfit"})

    assert [len(_run(scheduler, number, [0.5] * 9)) for number in range(4, 8)] == [9] * 4


def test_the_median_rule_stops_what_is_worse_than_most_and_pauses_nothing() -> None:
    scheduler = _build(MEDIAN)

    last = [_run(scheduler, number, [value] * 9)[-1] for number, value in enumerate((0.5, 0.1, 0.6, 0.7, 0.2, 0.8))]

    assert last == [90, 90, 90, 90, 10, 90]


@dataclass(eq=False)
class Waiting:
    """A trial of Tune that a scheduler may let wait."""

    number: int
    status: str = TuneTrial.PENDING
    is_saving: bool = False
    step: int = 0


@dataclass(frozen=True)
class OneByOne:
    """What Tune does for such a scheduler, with room for one trial at a time."""

    scheduler: Any
    objective: ObjectiveSpec
    trials: list[Waiting] = field(default_factory=list)

    def stop_trial(self, trial: Waiting) -> None:
        """Called by the scheduler: one that waits goes on no more."""
        trial.status = TuneTrial.TERMINATED
        self.scheduler.on_trial_remove(self, trial)

    def run(self, values: Sequence[float]) -> list[int]:
        """The steps to which trials come that have these values after ten steps, and in proportion later."""
        for number in range(len(values)):
            self.trials.append(Waiting(number))
            self.scheduler.on_trial_add(self, self.trials[-1])
        while (trial := self.scheduler.choose_trial_to_run(self)) is not None:
            trial.status = TuneTrial.RUNNING
            trial.status = self._advance(trial, values[trial.number])
        return [trial.step for trial in self.trials]

    def _advance(self, trial: Waiting, value: float) -> str:
        while True:
            trial.step += 10
            told = _result(trial.step, value * trial.step / 10, objective=self.objective)
            if trial.step == TOTAL_STEPS:
                self.scheduler.on_trial_complete(self, trial, told)
                return TuneTrial.TERMINATED
            decision = self.scheduler.on_trial_result(self, trial, told)
            if decision != TrialScheduler.CONTINUE:
                return TuneTrial.PAUSED if decision == TrialScheduler.PAUSE else TuneTrial.TERMINATED


@pytest.mark.parametrize(
    ("objective", "best"),
    [pytest.param(SCORE, {7, 10, 12}, id="max"), pytest.param(COST, {5, 6, 8}, id="min")],
)
def test_hyperband_halves_each_bracket_once_all_its_trials_have_come_so_far(
    objective: ObjectiveSpec, best: set[int]
) -> None:
    """Of 90 steps the first bracket has five trials, which it lets go on, the second eight, of which three."""
    scheduler = _build(HyperbandSpec(type="hyperband"), objective=objective)

    steps = OneByOne(scheduler, objective).run([0.5] * 5 + [0.1, 0.2, 0.7, 0.3, 0.4, 0.9, 0.5, 0.8])

    assert steps == [90 if number < 5 or number in best else 30 for number in range(13)]


def _curve(draw: random.Random) -> list[float]:
    top = draw.random()
    return [top * step / 9 + 0.05 * draw.random() for step in range(1, 10)]


@pytest.mark.parametrize("spec", [ASHA, MEDIAN], ids=["asha", "median"])
@pytest.mark.parametrize("seed", range(5))
def test_a_scheduler_that_was_replayed_decides_as_the_one_that_saw_it(spec: SchedulerSpec, seed: int) -> None:
    draw = random.Random(seed)
    curves = [_curve(draw) for _ in range(16)]
    live = _build(spec)
    told = [_run(live, number, curve) for number, curve in enumerate(curves)]
    seen = 8
    earlier = [_trial(number, curves[number][: len(told[number])], state="pruned") for number in range(seen)]

    again = _build(spec)
    schedulers.replay(again, earlier)

    assert [_run(again, number, curves[number], driver="b") for number in range(seen, 16)] == told[seen:]


@pytest.mark.parametrize("spec", [ASHA, MEDIAN], ids=["asha", "median"])
@pytest.mark.parametrize("seed", range(5))
def test_a_trial_that_an_earlier_driver_began_is_judged_as_if_there_had_been_no_restart(
    spec: SchedulerSpec, seed: int
) -> None:
    draw = random.Random(seed)
    curves = [_curve(draw) for _ in range(12)]
    whole = _build(spec)
    told = [_run(whole, number, curve) for number, curve in enumerate(curves)]
    number = next(number for number in range(4, 12) if len(told[number]) > 2)

    again = _build(spec)
    ended = [_trial(each, curves[each][: len(told[each])]) for each in range(number)]
    schedulers.replay(again, [*ended, _trial(number, curves[number][:2], state="running")])

    goes_on = _run(again, number, curves[number][2:], first_step=20, driver="b")
    assert [10, 20, *goes_on] == told[number]
    later = [_run(again, each, curves[each], driver="b") for each in range(number + 1, 12)]
    assert later == told[number + 1 :]


@pytest.mark.parametrize(
    "spec",
    [FifoSpec(type="fifo"), HyperbandSpec(type="hyperband"), PbtSpec(type="pbt", every_steps=10)],
    ids=["fifo", "hyperband", "pbt"],
)
def test_those_that_compare_what_lives_are_not_replayed(spec: SchedulerSpec) -> None:
    scheduler = _build(spec)
    before = dict(vars(scheduler))

    schedulers.replay(scheduler, [_trial(0, [0.1, 0.2])])

    assert vars(scheduler) == before


POPULATION = (
    "train.learning_rate: {log_uniform: [1.0e-4, 1.0e-3]}, train.weight_decay: {uniform: [0.01, 0.012]}, "
    "train.log_every_steps: {int_uniform: [2, 9]}, train.label_smoothing: {quantized: [0, 0.3, 0.1]}, "
    "train.gradient_clip: {choice: [0.5, 1.0, 2.0]}"
)


@pytest.mark.parametrize("resample", [0.0, 0.5, 1.0], ids=["never-anew", "sometimes", "always-anew"])
def test_pbt_keeps_the_number_of_a_trial_and_values_in_their_range(resample: float) -> None:
    space = space_of(POPULATION)
    scheduler = _build(PbtSpec(type="pbt", every_steps=10, resample=resample), space=POPULATION)
    params: dict[str, Any] = {
        "train.learning_rate": 1e-3,
        "train.weight_decay": 0.01,
        "train.log_every_steps": 9,
        "train.label_smoothing": 0,
        "train.gradient_clip": 2.0,
    }
    seen = set()
    for _ in range(200):
        loser, winner = Asked("l", {"trial": 4, "params": {}}), Asked("w", {"trial": 1, "params": params})
        config, _ = scheduler._get_new_config(loser, winner)
        params = config["params"]
        assert (config["trial"], winner.config["trial"]) == (4, 1)
        assert params.keys() == space.keys()
        assert all(holds(space[key], value) for key, value in params.items()), params
        seen.add(params["train.learning_rate"])

    assert len(seen) > 2


def test_pbt_draws_the_same_by_the_same_seed() -> None:
    def changed(seed: int) -> list[Any]:
        scheduler = _build(PbtSpec(type="pbt", every_steps=10, seed=seed))
        winner = Asked("w", {"trial": 1, "params": {"train.learning_rate": 1e-4}})
        return [scheduler._get_new_config(winner, winner)[0]["params"] for _ in range(8)]

    assert changed(0) == changed(0) != changed(1)
