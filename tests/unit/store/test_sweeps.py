"""What a sweep is, by the events of its log."""

from __future__ import annotations

import pytest

from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import events, sweeps
from eagleray.store.events import Event
from eagleray.store.objects import open_storage
from eagleray.store.sweeps import Change, Life, Log, Report
from tests.support.sweep_events import begun, created, ended, event, reported, started


@pytest.mark.parametrize(
    ("told", "state", "step", "num_steps", "seconds"),
    [
        pytest.param([created(0)], "running", 0, 0, 0.0, id="proposed"),
        pytest.param([created(0), begun(0)], "running", 0, 0, 0.0, id="begun"),
        pytest.param([created(0), begun(0), reported(0, 10)], "running", 10, 10, 20.0, id="reported"),
        pytest.param(
            [created(0), begun(0), reported(0, 10), reported(0, 20)], "running", 20, 20, 40.0, id="reported-twice"
        ),
        pytest.param(
            [created(0), begun(0), reported(0, 10), ended(0, 12, seconds=24.0)], "finished", 12, 12, 24.0, id="ended"
        ),
        pytest.param([created(0), ended(0, state="unfit", error="rank")], "unfit", 0, 0, 0.0, id="refused"),
        pytest.param(
            [created(0), begun(0), reported(0, 20), begun(0, life=1, first_step=10), reported(0, 20, seconds=20.0)],
            "running",
            20,
            30,
            60.0,
            id="ten-steps-are-repeated",
        ),
        pytest.param(
            [created(0), begun(0), reported(0, 20), begun(0, life=1, first_step=20)],
            "running",
            20,
            20,
            40.0,
            id="begun-again-where-it-was",
        ),
        pytest.param(
            [created(0), begun(0), reported(0, 20), event("trial-restarted", trial=0, error="lost")],
            "running",
            20,
            20,
            40.0,
            id="restart-alone-says-nothing",
        ),
        pytest.param(
            [created(0), begun(0), reported(0, 20), begun(0, life=2, first_step=60), reported(0, 70, seconds=20.0)],
            "running",
            70,
            30,
            60.0,
            id="steps-of-another-trial-are-not-counted",
        ),
        pytest.param(
            [created(0), begun(0), reported(0, 20), event("trial-stopped", trial=0, step=25, seconds=50.0)],
            "running",
            25,
            25,
            50.0,
            id="stopped-to-go-on",
        ),
        pytest.param(
            [created(0), event("trial-of-a-later-version", trial=0)], "running", 0, 0, 0.0, id="unknown-event"
        ),
    ],
)
def test_trial(told: list[Event], state: str, step: int, num_steps: int, seconds: float) -> None:
    (trial,) = sweeps.read([started(), *told]).trials

    assert (trial.state, trial.step, trial.num_steps, trial.seconds) == (state, step, num_steps, seconds)


def test_each_fact_of_a_trial() -> None:
    (trial,) = sweeps.read(
        [
            started(),
            created(0, {"train.seed": 3}, source="start_from 1"),
            begun(0),
            reported(0, 10, f1_macro=0.5),
            ended(0, 10, state="failed", error="killed", seconds=20.0),
        ]
    ).trials

    assert (trial.number, trial.params, trial.source, trial.error) == (0, {"train.seed": 3}, "start_from 1", "killed")
    assert trial.reports == (Report(10, metrics={"f1_macro": 0.5}, seconds=20.0),)
    assert trial.lives == (Life("trial-0-0001", first_step=0, step=10, seconds=20.0),)
    assert trial.run == "trial-0-0001"


def test_a_repeated_report_replaces_what_it_repeats() -> None:
    (trial,) = sweeps.read(
        [
            created(0),
            begun(0),
            *(reported(0, step, f1_macro=0.1) for step in (10, 20, 30)),
            begun(0, life=2, first_step=10),
            reported(0, 20, f1_macro=0.2),
        ]
    ).trials

    assert [(report.step, report.metrics["f1_macro"]) for report in trial.reports] == [(10, 0.1), (20, 0.2)]


def test_a_trial_that_begins_again_has_no_error_any_more() -> None:
    (trial,) = sweeps.read([created(0), begun(0), ended(0, state="failed", error="killed"), begun(0, life=2)]).trials

    assert (trial.state, trial.error) == ("running", "")


def test_a_change_by_population_based_training() -> None:
    changed = {"train.learning_rate": 2e-4}

    (trial,) = sweeps.read(
        [
            created(0),
            begun(0),
            reported(0, 20),
            event("trial-changed", trial=0, params=changed, donor=3, step=30),
            begun(0, life=2, first_step=30),
        ]
    ).trials

    assert (trial.params, trial.changes) == (changed, (Change(30, params=changed, donor=3),))
    assert [life.run for life in trial.lives] == ["trial-0-0001", "trial-0-0002"]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        pytest.param([started(clock_s=1.0)], 1.0, id="one-start"),
        pytest.param([started(), created(0, clock_s=5.0), begun(0, clock_s=7.0)], 7.0, id="last-event-counts"),
        pytest.param(
            [started(), created(0, clock_s=5.0), started(clock_s=1.0), begun(0, clock_s=4.0)], 9.0, id="two-starts"
        ),
        pytest.param(
            [started(), created(0, clock_s=5.0), started(), created(1, clock_s=2.0), started(clock_s=0.5)],
            7.5,
            id="three-starts",
        ),
    ],
)
def test_hours_by_the_clock_are_those_of_all_starts(told: list[Event], seconds: float) -> None:
    assert sweeps.read(told).seconds == seconds


def test_what_the_sweep_has_taken() -> None:
    sweep = sweeps.read(
        [
            started(num_devices=4.0, device="GPU"),
            *(told for trial in (0, 1) for told in (created(trial), begun(trial), reported(trial, 900))),
        ]
    )

    assert (sweep.num_steps, sweep.device_hours, sweep.device) == (1800, 4.0, "GPU")


def test_the_setup_is_that_of_the_last_start() -> None:
    sweep = sweeps.read([started(total_steps=10), event("sweep-ended", reason="enough"), started(total_steps=20)])

    assert (sweep.total_steps, sweep.end_reason) == (20, "")
    assert sweep.objectives == (ObjectiveSpec(metric="f1_macro", mode="max"),)


def test_trials_stand_by_number_and_ends_in_their_order() -> None:
    log = Log()
    log.read([started(), created(1), created(0), ended(1), ended(0), event("sweep-ended", reason="enough")])

    assert [trial.number for trial in log.sweep.trials] == [0, 1]
    assert (log.end_order, log.sweep.end_reason) == ([1, 0], "enough")


def test_events_one_by_one_say_the_same_as_all_at_once() -> None:
    told = [started(), created(0), begun(0), reported(0, 10, f1_macro=0.5, clock_s=3.0), ended(0, 10, clock_s=4.0)]
    log = Log()
    for each in told:
        log.read([each])

    assert log.sweep == sweeps.read(told)


def test_a_copy_of_an_event_tells_nothing_new() -> None:
    told = [
        started(clock_s=0.0),
        created(0),
        begun(0),
        reported(0, 10, f1_macro=0.5),
        event("trial-changed", trial=0, params={"a": 1}, donor=1, step=10),
        begun(0, life=2, first_step=10),
        ended(0, 20, seconds=20.0),
    ]
    once, twice = Log(), Log()
    once.read(told)
    twice.read(each for each in told for _ in range(2))

    assert (twice.sweep, twice.end_order) == (once.sweep, once.end_order)


def test_the_log_comes_back_from_a_storage_as_it_was_written() -> None:
    objects = open_storage("memory://")
    told = [started(), created(0), begun(0), reported(0, 10, f1_macro=0.5), ended(0, 10, clock_s=4.0)]
    writer = events.Writer(objects, "films-0001")
    for each in told:
        writer.append(each)

    assert sweeps.read(events.read_events(objects, "films-0001")) == sweeps.read(told)


def test_nothing_was_told() -> None:
    assert sweeps.read([]) == sweeps.Sweep()


@pytest.mark.parametrize(
    ("told", "going"),
    [
        pytest.param([begun(1), begun(2)], {0, 1, 2}, id="begun"),
        pytest.param([event("trial-stopped", trial=0, step=5, seconds=1.0)], set(), id="stopped"),
        pytest.param([begun(1), ended(1)], {0}, id="ended"),
        pytest.param([started(), begun(2)], {2}, id="another-driver"),
        pytest.param([event("sweep-ended", reason="")], set(), id="over"),
    ],
)
def test_which_trials_go_on(told: list[Event], going: set[int]) -> None:
    log = sweeps.Log()
    log.read([started(), created(0), created(1), created(2), begun(0), *told])

    assert log.going == going
