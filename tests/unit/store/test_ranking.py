"""Which trial of a sweep is best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import ranking
from eagleray.store.objects import open_storage
from eagleray.store.sweeps import Life, Report, Trial
from tests.support.records import new_checkpoint

NAN = float("nan")
F1 = ObjectiveSpec(metric="f1", mode="max")
LOSS = ObjectiveSpec(metric="loss", mode="min")
SIZE = ObjectiveSpec(metric="model_size_mb", mode="min")


def _trial(number: int, *evaluations: Mapping[str, float]) -> Trial:
    """A trial that was evaluated every ten steps."""
    reports = tuple(
        Report(10 * count, metrics=metrics, seconds=float(count)) for count, metrics in enumerate(evaluations, start=1)
    )
    return Trial(number, params={}, state="finished", reports=reports)


def _numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


@pytest.mark.parametrize(
    ("values", "objective", "expected"),
    [
        pytest.param([0.1, 0.3, 0.2], F1, [1, 2, 0], id="max"),
        pytest.param([0.1, 0.3, 0.2], LOSS, [0, 2, 1], id="min"),
        pytest.param([0.3, 0.1, 0.3], F1, [0, 2, 1], id="of-equals-the-first"),
        pytest.param([NAN, 0.1], F1, [1], id="nan-is-no-value"),
        pytest.param([float("-inf"), 0.1], LOSS, [1], id="infinity-is-no-value"),
        pytest.param([None, 0.1], LOSS, [1], id="missing"),
        pytest.param([None, NAN], F1, [], id="none-has-a-value"),
        pytest.param([], F1, [], id="no-trials"),
    ],
)
def test_ranked_by_one_objective(values: list[float | None], objective: ObjectiveSpec, expected: list[int]) -> None:
    trials = [_trial(number, {} if value is None else {objective.metric: value}) for number, value in enumerate(values)]

    assert _numbers(ranking.ranked(trials, objectives=[objective])) == expected


def test_the_best_evaluation_counts_not_the_last() -> None:
    fallen, risen = _trial(0, {"f1": 0.9}, {"f1": 0.1}), _trial(1, {"f1": 0.2}, {"f1": 0.8})

    best = ranking.best_report(fallen, [F1])

    assert best is not None
    assert best.step == 10
    assert _numbers(ranking.ranked([risen, fallen], objectives=[F1])) == [0, 1]


def test_a_trial_without_evaluations_is_not_ranked() -> None:
    assert ranking.ranked([Trial(0, params={})], objectives=[F1]) == []


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        pytest.param([F1], F1, id="one"),
        pytest.param([LOSS, F1], LOSS, id="the-first"),
        pytest.param([SIZE, F1, LOSS], F1, id="the-first-that-training-changes"),
    ],
)
def test_primary(objectives: list[ObjectiveSpec], expected: ObjectiveSpec) -> None:
    assert ranking.primary(objectives) == expected


def test_a_footprint_before_a_metric_does_not_pick_the_checkpoint() -> None:
    trial = _trial(0, {"f1": 0.5, "model_size_mb": 3.0}, {"f1": 0.7, "model_size_mb": 3.0})

    assert ranking.values(trial, [SIZE, F1]) == (3.0, 0.7)


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        pytest.param({"f1": 0.5, "loss": 1.0}, (0.5, 1.0), id="both"),
        pytest.param({"f1": 0.5}, None, id="second-is-missing"),
        pytest.param({"f1": 0.5, "loss": NAN}, None, id="second-is-nan"),
        pytest.param({"loss": 1.0}, None, id="first-is-missing"),
    ],
)
def test_values(metrics: dict[str, float], expected: tuple[float, ...] | None) -> None:
    assert ranking.values(_trial(0, metrics), [F1, LOSS]) == expected


@pytest.mark.parametrize(
    ("points", "ranked", "front"),
    [
        pytest.param([(0.9, 1.0), (0.8, 2.0)], [0, 1], [0], id="one-beats-the-other"),
        pytest.param([(0.8, 1.0), (0.9, 2.0)], [1, 0], [1, 0], id="both-on-the-front-by-the-first-objective"),
        pytest.param(
            [(0.5, 5.0), (0.9, 3.0), (0.6, 1.0), (0.8, 4.0), (0.95, 9.0)],
            [4, 1, 2, 3, 0],
            [4, 1, 2],
            id="fronts-one-after-another",
        ),
        pytest.param([(0.9, 1.0), (0.9, 1.0)], [0, 1], [0, 1], id="equals-do-not-beat-each-other"),
        pytest.param([(0.9, 2.0), (0.9, 1.0)], [1, 0], [1], id="as-good-in-one-and-better-in-the-other"),
        pytest.param([(NAN, 1.0), (0.1, 9.0)], [1], [1], id="nan"),
    ],
)
def test_several_objectives(points: list[tuple[float, float]], ranked: list[int], front: list[int]) -> None:
    trials = [_trial(number, {"f1": f1, "loss": loss}) for number, (f1, loss) in enumerate(points)]

    assert _numbers(ranking.ranked(trials, objectives=[F1, LOSS])) == ranked
    assert _numbers(ranking.pareto_front(trials, objectives=[F1, LOSS])) == front


@pytest.mark.parametrize(
    ("metrics", "constraints", "expected"),
    [
        pytest.param({"loss": 3.0}, [], 0.0, id="none"),
        pytest.param({"loss": 3.0}, [ConstraintSpec(metric="loss", at_most=3.0)], 0.0, id="at-the-bound"),
        pytest.param({"loss": 3.5}, [ConstraintSpec(metric="loss", at_most=3.0)], 0.5, id="above"),
        pytest.param({"loss": 1.0}, [ConstraintSpec(metric="loss", at_least=3.0)], 2.0, id="below"),
        pytest.param({"loss": 2.0}, [ConstraintSpec(metric="loss", at_least=1.0, at_most=3.0)], 0.0, id="between"),
        pytest.param(
            {"loss": 4.0, "f1": 0.5},
            [ConstraintSpec(metric="loss", at_most=3.0), ConstraintSpec(metric="f1", at_least=0.75)],
            1.25,
            id="all-together",
        ),
        pytest.param({}, [ConstraintSpec(metric="loss", at_most=3.0)], float("inf"), id="missing"),
        pytest.param({"loss": NAN}, [ConstraintSpec(metric="loss", at_most=3.0)], float("inf"), id="nan"),
    ],
)
def test_violation(metrics: dict[str, float], constraints: list[ConstraintSpec], expected: float) -> None:
    assert ranking.violation(metrics, constraints) == expected


def test_what_breaks_a_constraint_is_not_ranked_however_good() -> None:
    trials = [_trial(0, {"f1": 0.9, "loss": 5.0}), _trial(1, {"f1": 0.2, "loss": 1.0}), _trial(2, {"f1": 0.4})]
    constraints = [ConstraintSpec(metric="loss", at_most=3.0)]

    assert _numbers(ranking.ranked(trials, objectives=[F1], constraints=constraints)) == [1]
    assert _numbers(ranking.pareto_front(trials, objectives=[F1], constraints=constraints)) == [1]


@pytest.mark.parametrize(
    ("second_life", "expected"),
    [
        pytest.param(0.9, ("trial-0-0002", 20), id="repeated-alike-the-last-life-that-has-it"),
        pytest.param(0.4, ("trial-0-0001", 20), id="the-step-of-another-life-has-other-weights"),
    ],
)
def test_the_best_checkpoint_is_the_one_that_measured_the_same(
    tmp_path: Path, second_life: float, expected: tuple[str, int]
) -> None:
    objects = open_storage("memory://")
    for life, step, f1 in ((1, 10, 0.2), (1, 20, 0.9), (2, 20, second_life), (2, 30, 0.3)):
        run = f"trial-0-{life:04d}"
        new_checkpoint(objects, run, step=step, scratch=tmp_path / run, f1=f1, loss=1.0)
    lives = (Life("trial-0-0001", first_step=0), Life("trial-0-0002", first_step=10))
    told = ((10, 0.2), (20, 0.9), (30, 0.3))
    reports = tuple(Report(step, metrics={"f1": f1, "loss": 1.0}, seconds=0.0) for step, f1 in told)

    manifest = ranking.best_checkpoint(objects, Trial(0, params={}, lives=lives, reports=reports), [F1])

    assert manifest is not None
    assert (manifest.run, manifest.step) == expected


@pytest.mark.parametrize(
    "reports",
    [
        pytest.param((), id="no-evaluation"),
        pytest.param((Report(20, metrics={"f1": NAN}, seconds=0.0),), id="no-value"),
        pytest.param((Report(20, metrics={"f1": 0.5}, seconds=0.0),), id="it-never-came-to-the-storage"),
    ],
)
def test_no_best_checkpoint(tmp_path: Path, reports: tuple[Report, ...]) -> None:
    objects = open_storage("memory://")
    new_checkpoint(objects, "trial-0-0001", step=10, scratch=tmp_path, f1=0.1)
    trial = Trial(0, params={}, lives=(Life("trial-0-0001", first_step=0),), reports=reports)

    assert ranking.best_checkpoint(objects, trial, [F1]) is None
