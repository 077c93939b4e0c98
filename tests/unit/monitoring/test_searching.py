"""What a sweep is to Prometheus follows from its log and from which trials have workers."""

from __future__ import annotations

import pytest

from eagleray.monitoring import searching
from eagleray.monitoring.searching import STATES, SweepFacts
from eagleray.store import sweeps
from eagleray.store.runs import RunRecord
from eagleray.store.sweeps import Sweep
from tests.support import sweep_events
from tests.support.records import NOW

RECORD = RunRecord(run="films-0001", name="films", kind=sweeps.KIND, phase="running", started_at=NOW)
LOG = (
    sweep_events.started(num_devices=2.0),
    *(event for trial in range(5) for event in (sweep_events.created(trial), sweep_events.begun(trial))),
    sweep_events.reported(0, 30, f1_macro=0.7),
    sweep_events.reported(1, 30, f1_macro=0.9),
    sweep_events.ended(1, 90, seconds=180.0),
    sweep_events.ended(2, state="pruned"),
    sweep_events.ended(3, state="failed", error="gone"),
)


def begun(*, planned_trials: int | None = 8) -> SweepFacts:
    return searching.begun(RECORD, planned_trials=planned_trials, now=1000.0)


def told(facts: SweepFacts) -> dict[tuple[str, ...], float]:
    """All values, by the part of the name after the prefix and the labels but those of the run."""
    return {
        (sample.family.name.removeprefix("eagleray_sweep_"), *sample.labels[2:]): sample.value
        for sample in searching.samples(facts)
        if sample.labels[:2] == ("films", "films-0001")
    }


@pytest.fixture
def halfway() -> SweepFacts:
    return searching.with_sweep(begun(), sweeps.read(LOG), frozenset({0}), now=1050.0)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("phase", "searching"), 1),
        (("phase", "succeeded"), 0),
        (("trials", "running"), 1),
        (("trials", "waiting"), 1),
        (("trials", "finished"), 1),
        (("trials", "pruned"), 1),
        (("trials", "failed"), 1),
        (("trials", "unfit"), 0),
        (("planned_trials",), 8),
        (("steps_total",), 120),
        (("device_seconds_total",), 480.0),
        (("best_objective", "f1_macro", "max"), 0.9),
        (("started_timestamp_seconds",), 1000.0),
        (("progress_timestamp_seconds",), 1050.0),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_halfway(halfway: SweepFacts, key: tuple[str, ...], expected: float) -> None:
    assert told(halfway)[key] == pytest.approx(expected)


def test_before_anything_happened() -> None:
    facts = told(begun(planned_trials=None))

    assert {key for key in facts if key[0] == "trials"} == {("trials", state) for state in STATES}
    assert ("planned_trials",) not in facts
    assert [key for key in facts if key[0] == "best_objective"] == []


def test_a_look_that_finds_nothing_new_is_no_progress(halfway: SweepFacts) -> None:
    again = searching.with_sweep(halfway, halfway.sweep, frozenset({0, 4}), now=1200.0)

    assert told(again)["progress_timestamp_seconds",] == 1050.0
    assert told(again)["trials", "running"] == 2


def test_the_end(halfway: SweepFacts) -> None:
    facts = told(searching.ended(halfway, "stopped"))

    assert {key[1] for key, value in facts.items() if key[0] == "phase" and value} == {"stopped"}
    assert (facts["trials", "running"], facts["trials", "waiting"]) == (0, 2)


def test_objectives_that_no_trial_has() -> None:
    facts = searching.with_sweep(begun(), Sweep(), frozenset(), now=1001.0)

    assert [key for key in told(facts) if key[0] == "best_objective"] == []
