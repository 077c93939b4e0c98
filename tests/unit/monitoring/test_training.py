"""What a run is to Prometheus follows from what its driver is told, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.monitoring import training
from eagleray.monitoring.training import PHASES, REASONS, RunFacts
from eagleray.spec.failures import FailuresSpec
from eagleray.store.events import Event
from eagleray.store.runs import ProgressRecord, RunRecord
from tests.support.records import NOW

RECORD = RunRecord(run="films-0001", name="films", phase="running", started_at=NOW)
OF_IT = {"name": "films", "run": "films-0001"}


def begun(*, metric: str = "f1_macro", mode: Any = "max") -> RunFacts:
    return training.begun(RECORD, metric=metric, mode=mode, now=1000.0)


def progress(step: int, *, phase: Any = "training", useful_s: float = 0.0, **figures: float) -> ProgressRecord:
    return ProgressRecord(step=step, total_steps=100, phase=phase, useful_s=useful_s, updated_at=NOW, **figures)


def event(kind: str, **fields: Any) -> Event:
    return Event(kind=kind, at=NOW, fields=fields)


def told(facts: RunFacts, name: str, *, now: float = 1100.0) -> dict[tuple[str, ...], float]:
    """The values of a metric by its labels but those of the run."""
    found = {}
    for sample in training.samples(facts, now=now):
        labels = dict(zip(sample.family.labels, sample.labels, strict=True))
        assert OF_IT.items() <= labels.items()
        if sample.family.name == f"eagleray_train_{name}":
            found[tuple(labels[each] for each in sample.family.labels if each not in OF_IT)] = sample.value
    return found


def value(facts: RunFacts, name: str, *labels: str, now: float = 1100.0) -> float | None:
    return told(facts, name, now=now).get(labels)


FIGURES: dict[str, Any] = {
    "epoch": 1.0,
    "loss": 0.25,
    "learning_rate": 1e-4,
    "samples_per_s": 50.0,
    "tokens_per_s": 900.0,
    "padding_share": 0.1,
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("step", 40),
        ("planned_steps", 100),
        ("epoch", 1.0),
        ("loss", 0.25),
        ("learning_rate", 1e-4),
        ("samples_per_second", 50.0),
        ("tokens_per_second", 900.0),
        ("padding_ratio", 0.1),
        ("useful_seconds_total", 30.0),
        ("goodput_ratio", 0.3),
        ("started_timestamp_seconds", 1000.0),
        ("progress_timestamp_seconds", 1090.0),
    ],
)
def test_how_far_the_workers_are(name: str, expected: float) -> None:
    facts = training.with_progress(begun(), progress(40, useful_s=30.0, **FIGURES), now=1090.0)

    assert value(facts, name) == pytest.approx(expected)


def test_what_is_not_known_is_not_told() -> None:
    facts = training.with_progress(begun(), progress(0, phase="preparing"), now=1010.0)

    assert [name for name in ("loss", "samples_per_second", "best_validation", "validation") if told(facts, name)] == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(begun(), "starting", id="begun"),
        pytest.param(training.with_progress(begun(), progress(3), now=1.0), "training", id="training"),
        pytest.param(
            training.with_event(
                training.with_progress(begun(), progress(3), now=1.0),
                event("restarted", reason="hang", step=3, saved_step=0),
                now=2.0,
            ),
            "starting",
            id="restarted",
        ),
        pytest.param(training.ended(begun(), "failed", now=3.0), "failed", id="failed"),
    ],
)
def test_one_phase_at_a_time(facts: RunFacts, expected: str) -> None:
    assert {phase for (phase,), is_it in told(facts, "phase").items() if is_it} == {expected}
    assert {phase for (phase,) in told(facts, "phase")} == set(PHASES)


def test_every_phase_that_is_written_down_is_told() -> None:
    written = {*ProgressRecord.model_fields["phase"].annotation.__args__}  # type: ignore[union-attr]
    ends = {*RunRecord.model_fields["phase"].annotation.__args__} - {"pending", "running"}  # type: ignore[union-attr]

    assert set(PHASES) == {"starting", *written, *ends}


def test_every_reason_with_a_budget_is_told_before_it_comes() -> None:
    assert set(FailuresSpec.model_fields) - {"skip_bad_samples", "max_non_finite_steps", "wait_for_workers_s"} <= set(
        REASONS
    )
    assert told(begun(), "restarts_total") == {(reason,): 0 for reason in REASONS}


def test_a_restart_keeps_the_steps_that_are_not_repeated() -> None:
    facts = training.with_progress(begun(), progress(40, useful_s=40.0, loss=1.0), now=1050.0)
    facts = training.with_event(facts, event("restarted", reason="infrastructure", step=40, saved_step=30), now=1060.0)

    assert value(facts, "restarts_total", "infrastructure") == 1
    assert value(facts, "useful_seconds_total") == pytest.approx(30.0)
    assert value(facts, "loss") is None, "of workers that are gone"

    facts = training.with_event(facts, event("restored", step=30), now=1070.0)
    facts = training.with_progress(facts, progress(50, useful_s=20.0), now=1090.0)
    assert value(facts, "useful_seconds_total") == pytest.approx(50.0)
    assert value(facts, "goodput_ratio", now=1100.0) == pytest.approx(0.5)

    facts = training.with_event(facts, event("restarted", reason="hang", step=50, saved_step=40), now=1100.0)
    assert value(facts, "useful_seconds_total") == pytest.approx(40.0)


def test_goodput_stands_still_at_the_end() -> None:
    facts = training.with_progress(begun(), progress(100, phase="done", useful_s=60.0), now=1090.0)
    facts = training.ended(facts, "succeeded", now=1100.0)

    assert value(facts, "goodput_ratio", now=1900.0) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        pytest.param("max", [0.5, 0.8, 0.7], 0.8, id="max"),
        pytest.param("min", [0.5, 0.8, 0.7], 0.5, id="min"),
        pytest.param("max", [0.5, float("nan")], 0.5, id="nan-is-no-best"),
    ],
)
def test_evaluations(mode: str, values: list[float], best: float) -> None:
    facts = begun(metric="score", mode=mode)
    for each in values:
        metrics = {"score": each, "loss": 0.1, "confusion_matrix": [[1]]}
        facts = training.with_event(facts, event("evaluated", step=1, metrics=metrics), now=1050.0)

    assert told(facts, "best_validation") == {("score", mode): best}
    assert value(facts, "validation", "loss") == 0.1
    assert value(facts, "validation", "confusion_matrix") is None


def test_checkpoints() -> None:
    facts = begun()
    for _ in range(2):
        costs = {"size_bytes": 1000, "upload_s": 9.0, "blocked_s": 0.5, "stall_s": 1.0}
        facts = training.with_event(facts, event("checkpoint", step=10, **costs), now=1050.0)

    assert value(facts, "checkpoints_total") == 2
    assert value(facts, "checkpoint_bytes_total") == 2000
    assert value(facts, "stall_seconds_total") == pytest.approx(3.0)


def test_a_run_that_goes_on_brings_what_was_counted() -> None:
    facts = begun()
    for each in (
        event("evaluated", step=10, metrics={"f1_macro": 0.9}),
        event("restarted", reason="preemption", step=12, saved_step=10),
        event("continued", changed={}),
    ):
        facts = training.with_earlier(facts, each)

    assert value(facts, "best_validation", "f1_macro", "max") == 0.9
    assert value(facts, "restarts_total", "preemption") == 1
    assert value(facts, "useful_seconds_total") == 0.0, "this driver has done nothing yet"
