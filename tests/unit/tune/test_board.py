"""What is tried next, what is written down of it, and when it is enough."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from eagleray.store import sweeps
from eagleray.tune.board import WAIT
from tests.support.sweep_boards import KEY, driven, proposed, result
from tests.support.sweep_events import begun, created, ended, reported, started

HUGE = "{trials: 100}"


def test_a_trial_from_its_proposal_to_its_end() -> None:
    found = driven()

    assert found.board.propose() == (0, {KEY: 1})
    assert found.board.going == {0}
    found.evaluate(0, 10)
    found.evaluate(0, 20)
    found.board.ended(0, result(0, 25, state="finished"))

    assert found.board.going == frozenset()
    assert found.kinds() == [
        *("sweep-started", "trial-created", "trial-started", "trial-reported", "trial-reported", "trial-ended")
    ]
    (trial,) = found.board.sweep.trials
    assert (trial.state, trial.step, trial.num_steps, trial.source) == ("finished", 25, 25, "search")
    assert found.search.told == [trial]


def test_what_is_known_is_what_was_written() -> None:
    found = driven()
    for number in range(4):
        found.board.propose()
        found.clock.now_s += 7
        found.evaluate(number, 10 * number + 10)
    found.finish(2, f1_macro=0.3)
    found.board.failed(3, "killed")
    found.board.finish()

    assert sweeps.read(found.events) == found.board.sweep
    assert found.board.sweep.seconds == 28


@pytest.mark.parametrize(
    ("last", "state", "error", "is_told"),
    [
        pytest.param(result(0, 90, state="finished"), "finished", "", True, id="finished"),
        pytest.param(result(0, 30), "pruned", "", True, id="stopped-by-the-scheduler"),
        pytest.param(result(0, 30, state="unfit", error="out of memory"), "unfit", "out of memory", True, id="unfit"),
        pytest.param(result(0, 30, state="failed", error="bad rows"), "failed", "bad rows", True, id="failed"),
        pytest.param(result(0, 30, state="stopped"), "running", "", False, id="stopped-to-go-on"),
    ],
)
def test_how_a_trial_ends(last: dict[str, Any], state: str, error: str, is_told: bool) -> None:
    found = driven()
    found.board.propose()
    found.evaluate(0, 10)

    found.board.reported(0, last)
    found.board.ended(0, last)

    (trial,) = found.board.sweep.trials
    assert (trial.state, trial.error, trial.step) == (state, error, last["step"])
    assert found.search.told == ([trial] if is_told else [])
    assert found.board.going == frozenset()


def test_a_trial_that_failed_too_often_keeps_what_it_has_taken() -> None:
    found = driven()
    found.board.propose()
    found.evaluate(0, 20)

    found.board.failed(0, "killed")

    (trial,) = found.board.sweep.trials
    assert (trial.state, trial.error, trial.step, trial.seconds) == ("failed", "killed", 20, 20.0)


def test_a_trial_that_failed_before_it_began() -> None:
    found = driven()
    found.board.propose()

    found.board.failed(0, "killed")

    (trial,) = found.board.sweep.trials
    assert (trial.state, trial.lives) == ("failed", ())


@pytest.mark.parametrize(
    ("lasts", "steps"),
    [
        pytest.param([result(0, 10), result(0, 90, state="finished")], [10, 90], id="last-word-with-an-evaluation"),
        pytest.param([result(0, 90), result(0, 90, state="finished")], [90], id="last-word-repeats-the-evaluation"),
        pytest.param([result(0, 10), result(0, 10, state="unfit")], [10], id="unfit-repeats-the-last"),
        pytest.param([{"state": "unfit", "error": "no such column", "donor": None}], [], id="no-evaluation"),
    ],
)
def test_each_evaluation_is_written_once(lasts: list[dict[str, Any]], steps: list[int]) -> None:
    found = driven()
    found.board.propose()

    for last in lasts:
        found.board.reported(0, last)

    assert [event.fields["step"] for event in found.events if event.kind == "trial-reported"] == steps


def test_a_trial_that_is_started_again() -> None:
    found = driven()
    found.board.propose()
    found.evaluate(0, 20)
    found.board.restarted(0, "its process was lost")
    found.evaluate(0, 30, first_step=10)

    (trial,) = found.board.sweep.trials
    assert (trial.num_steps, trial.step, trial.seconds) == (40, 30, 40.0)
    assert "trial-restarted" in found.kinds()


def test_a_trial_that_is_started_again_from_the_start() -> None:
    """It had no checkpoint yet: what it did before was done nevertheless."""
    found = driven()
    found.board.propose()
    found.evaluate(0, 20)
    found.board.restarted(0, "its process was lost")
    found.evaluate(0, 10)

    (trial,) = found.board.sweep.trials
    assert (trial.num_steps, trial.step, trial.seconds) == (30, 10, 30.0)


def test_a_change_by_population_based_training() -> None:
    found = driven()
    found.board.propose()
    found.evaluate(0, 20)

    found.board.reported(0, result(0, 50, life=2, first_step=40, donor=3, params={KEY: 5}))

    (trial,) = found.board.sweep.trials
    assert trial.params == {KEY: 5}
    assert [(change.step, change.donor) for change in trial.changes] == [(40, 3)]
    assert trial.num_steps == 30


@pytest.mark.parametrize(
    ("budget", "per_trial", "num_devices", "expected", "reason"),
    [
        pytest.param("{trials: 3}", 90, 1.0, 3, "budget.trials (3) are tried", id="trials"),
        pytest.param("{steps: 200}", 90, 1.0, 3, "budget.steps (200) is used up", id="steps"),
        pytest.param("{steps: 180}", 90, 1.0, 2, "budget.steps (180) is used up", id="steps-exactly"),
        pytest.param("{device_hours: 2}", 3600, 1.0, 2, "budget.device_hours (2) is used up", id="device-hours"),
        pytest.param("{device_hours: 2}", 3600, 4.0, 1, "budget.device_hours (2) is used up", id="of-four-devices"),
        pytest.param("{hours: 0.5}", 600, 4.0, 3, "budget.hours (0.5) is used up", id="hours-by-the-clock"),
        pytest.param("{trials: 9, steps: 100}", 90, 1.0, 2, "budget.steps (100) is used up", id="the-first-of-two"),
    ],
)
def test_budget(budget: str, per_trial: int, num_devices: float, expected: int, reason: str) -> None:
    """One trial after another, a second a step."""
    found = driven(budget=budget, setup={"num_devices": num_devices})
    for number in itertools.count():
        if found.board.propose() is None:
            break
        found.clock.now_s += per_trial
        found.finish(number, f1_macro=0.1, step=per_trial)
    found.board.finish()

    assert (len(found.board.sweep.trials), found.board.sweep.end_reason) == (expected, reason)


@pytest.mark.parametrize(
    ("budget", "is_over"),
    [
        pytest.param("{trials: 1}", False, id="a-budget-of-trials-lets-them-come-to-their-end"),
        pytest.param("{steps: 20}", True, id="steps-stop-those-that-go-on"),
        pytest.param("{hours: 0.01}", True, id="so-do-hours"),
    ],
)
def test_trials_that_go_on_when_it_is_enough(budget: str, is_over: bool) -> None:
    found = driven(budget=budget)
    found.board.propose()
    found.clock.now_s += 36
    found.evaluate(0, 20)

    assert bool(found.board.over()) is is_over


def test_a_trial_that_the_budget_stopped_says_so() -> None:
    found = driven(budget="{steps: 20}")
    found.board.propose()
    found.evaluate(0, 20)

    found.board.ended(0, result(0, 20))

    (trial,) = found.board.sweep.trials
    assert (trial.state, trial.error) == ("pruned", "budget.steps (20) is used up")


def test_time_goes_by_where_nothing_is_told() -> None:
    found = driven(budget="{hours: 1}")
    found.clock.now_s += 3599
    assert found.board.over() == ""
    found.clock.now_s += 1
    assert found.board.over() == "budget.hours (1) is used up"


def test_hours_of_an_earlier_driver_count() -> None:
    earlier = [started(), created(0, {KEY: 1}), ended(0, clock_s=3000.0)]
    found = driven(budget="{hours: 1}", earlier=earlier)

    found.clock.now_s += 599
    assert found.board.over() == ""
    found.clock.now_s += 1
    assert found.board.over() == "budget.hours (1) is used up"


@pytest.mark.parametrize(
    ("scores", "plateau", "expected"),
    [
        pytest.param([0.5, 0.4, 0.3, 0.2], "{trials: 2}", 3, id="none-better"),
        pytest.param([0.1, 0.2, 0.3, 0.4], "{trials: 2}", 4, id="each-better"),
        pytest.param([0.5, 0.4, 0.6, 0.5, 0.5], "{trials: 2}", 5, id="begins-anew-with-a-better-one"),
        pytest.param([0.5, 0.51, 0.52, 0.7], "{trials: 2, min_delta: 0.1}", 3, id="too-little-better"),
        pytest.param([None, None, 0.1], "{trials: 2}", 2, id="none-has-a-value"),
        pytest.param([0.5, math.nan, math.nan], "{trials: 2}", 3, id="nan"),
    ],
)
def test_plateau(scores: list[float | None], plateau: str, expected: int) -> None:
    found = driven(budget="", plateau=plateau)
    for number, score in enumerate(scores):
        if found.board.propose() is None:
            break
        found.finish(number, f1_macro=score)

    assert len(found.board.sweep.trials) == expected


def test_a_plateau_of_a_loss_is_where_it_no_longer_falls() -> None:
    found = driven(budget="", plateau="{trials: 2}", setup={"objectives": [{"metric": "loss", "mode": "min"}]})
    for number, loss in enumerate((0.5, 0.6, 0.7)):
        found.board.propose()
        found.board.reported(number, result(number, 10, metrics={"loss": loss}))
        found.board.ended(number, result(number, 10, state="finished"))

    assert found.board.propose() is None
    assert found.board.why_ended() == "the last 2 trials were not better (plateau)"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([9.0, 9.0, 1.0, 1.0], 2, id="what-breaks-the-constraint-is-no-improvement"),
        pytest.param([1.0, 9.0, 9.0, 1.0], 3, id="however-good"),
        pytest.param([1.0, 1.0, 1.0, 1.0], 4, id="each-better"),
    ],
)
def test_a_plateau_of_what_keeps_the_constraints(sizes: list[float], expected: int) -> None:
    """Each trial is better than the one before."""
    constraints = [{"metric": "model_size_mb", "at_most": 5.0}]
    found = driven(budget="", plateau="{trials: 2}", setup={"constraints": constraints})
    for number, size in enumerate(sizes):
        if found.board.propose() is None:
            break
        last = result(number, 10, metrics={"f1_macro": 0.1 * number, "model_size_mb": size}, state="finished")
        found.board.reported(number, last)
        found.board.ended(number, last)

    assert len(found.board.sweep.trials) == expected


def test_no_more_than_fit_run_at_once() -> None:
    capacity = [2.0]
    found = driven(capacity=lambda: capacity[0], budget=HUGE)

    assert proposed(found, 3) == [(0, {KEY: 1}), (1, {KEY: 2}), WAIT]
    found.finish(0)
    assert found.board.propose() == (2, {KEY: 3})
    capacity[0] = 3.0
    assert found.board.propose() == (3, {KEY: 4})
    assert found.board.propose() == WAIT


@pytest.mark.parametrize(
    ("epochs", "budget", "numbers", "reason"),
    [
        pytest.param([0, 2, 0, 3], HUGE, [1, 3], "every configuration of the space was tried", id="gone-over"),
        pytest.param([0, 0, 0], HUGE, [], "every configuration of the space was tried", id="nothing-else"),
        pytest.param([0, 0, 3], "{trials: 2}", [], "budget.trials (2) are tried", id="they-count"),
        pytest.param([0] * 1200, "{trials: 5000}", [], "every configuration of the space was tried", id="it-gives-up"),
    ],
)
def test_configurations_that_the_document_refuses(
    epochs: list[int], budget: str, numbers: list[int], reason: str
) -> None:
    found = driven(epochs=epochs, budget=budget)

    assert [number for number, _ in proposed(found)] == numbers
    assert found.board.why_ended() == reason


def test_a_refused_configuration_is_a_trial_and_the_search_is_told() -> None:
    found = driven(epochs=[0])

    assert found.board.propose() is None

    (trial,) = found.board.sweep.trials
    assert (trial.state, trial.lives) == ("unfit", ())
    assert trial.error == "spec.train.epochs: expected a whole number of at least 1, got the number 0"
    assert found.search.told == [trial]


def test_known_points_come_first_and_take_no_turn_of_the_search() -> None:
    found = driven(points=[("start_from 1", {KEY: 7}), ("films-0001, best 1", {KEY: 8})], budget="{trials: 4}")

    assert proposed(found) == [(0, {KEY: 7}), (1, {KEY: 8}), (2, {KEY: 1}), (3, {KEY: 2})]
    assert [trial.source for trial in found.board.sweep.trials] == [
        *("start_from 1", "films-0001, best 1", "search", "search")
    ]


def test_known_points_are_tried_once_over_all_starts() -> None:
    points = [("start_from 1", {KEY: 7}), ("start_from 2", {KEY: 8})]
    earlier = [started(), created(0, {KEY: 7}, source="start_from 1"), ended(0)]

    found = driven(points=points, earlier=earlier, budget="{trials: 3}")

    assert proposed(found) == [(1, {KEY: 8}), (2, {KEY: 1})]


def test_after_a_restart_what_was_going_on_comes_first() -> None:
    earlier = [
        started(),
        *(created(number, {KEY: number + 1}) for number in range(3)),
        *(begun(number) for number in range(3)),
        reported(0, 10, f1_macro=0.5),
        reported(1, 90, f1_macro=0.4),
        ended(1, 90),
    ]
    found = driven(earlier=earlier, budget="{trials: 4}", capacity=lambda: 2.0)

    assert [trial.number for trial in found.search.told] == [1]
    assert proposed(found, 3) == [(0, {KEY: 1}), (2, {KEY: 3}), WAIT]
    found.evaluate(0, 20, first_step=10)
    found.evaluate(0, 90, first_step=10)
    found.board.ended(0, result(0, 90, first_step=10, state="finished"))
    assert found.board.propose() == (3, {KEY: 4})
    assert found.board.sweep.trials[0].num_steps == 90


def test_after_a_restart_the_budget_goes_on() -> None:
    earlier = [started(), created(0, {KEY: 1}), begun(0), reported(0, 90), ended(0, 90)]

    found = driven(earlier=earlier, budget="{steps: 90}")

    assert found.board.propose() is None
    assert found.board.why_ended() == "budget.steps (90) is used up"


def test_a_larger_budget_lets_an_ended_sweep_go_on() -> None:
    first = driven(budget="{trials: 1}")
    proposed(first)
    first.finish(0, f1_macro=0.5)
    first.board.finish()

    second = driven(budget="{trials: 2}", earlier=first.events)

    assert proposed(second) == [(1, {KEY: 2})]
    assert second.board.sweep.end_reason == ""


def test_a_trial_that_was_stopped_is_gone_on_with_by_the_next_driver() -> None:
    first = driven(budget="{trials: 1}")
    proposed(first)
    first.evaluate(0, 20)
    first.board.ended(0, result(0, 25, state="stopped"))

    second = driven(budget="{trials: 1}", earlier=first.events)

    assert proposed(second) == [(0, {KEY: 1})]
    assert second.board.sweep.num_steps == 25


def test_stop() -> None:
    found = driven(budget=HUGE)
    found.board.propose()

    found.board.stop()

    assert found.board.propose() is None
    assert found.board.why_ended() == ""
    assert not found.board.is_abandoned
    assert found.board.going == {0}


def test_stop_does_not_propose_what_an_earlier_driver_left() -> None:
    found = driven(earlier=[started(), created(0, {KEY: 1}), begun(0)])

    found.board.stop()

    assert found.board.propose() is None


def test_abandon() -> None:
    found = driven()

    found.board.abandon()

    assert (found.board.propose(), found.board.is_abandoned) == (None, True)
