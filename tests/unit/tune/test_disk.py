"""Which checkpoints of a sweep stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import checkpoints, lease, paths
from eagleray.store.objects import Objects, open_storage
from eagleray.store.renewal import renewed
from eagleray.store.sweeps import Life, Report, State, Sweep, Trial
from eagleray.tune import disk
from tests.support.records import NOW, new_checkpoint

F1 = ObjectiveSpec(metric="f1_macro", mode="max")


@pytest.fixture
def objects() -> Objects:
    return open_storage("memory://")


def _trial(number: int, *values: float, state: State = "finished", num_lives: int = 1) -> Trial:
    """A trial with an evaluation every ten steps."""
    reports = tuple(Report(10 * n, metrics={"f1_macro": value}, seconds=0.0) for n, value in enumerate(values, start=1))
    lives = tuple(Life(f"trial-{number}-{life:04d}", first_step=0) for life in range(1, num_lives + 1))
    return Trial(number, params={}, state=state, reports=reports, lives=lives)


def _sweep(objects: Objects, scratch: Path, *trials: Trial, constraints: tuple[ConstraintSpec, ...] = ()) -> Sweep:
    """A sweep, and of each evaluation of each trial a checkpoint in each life."""
    for trial in trials:
        for life in trial.lives:
            for report in trial.reports:
                new_checkpoint(objects, life.run, step=report.step, scratch=scratch / life.run, **report.metrics)
    return Sweep(trials=trials, objectives=(F1,), constraints=constraints)


def _kept(objects: Objects, *trials: Trial) -> dict[str, list[int]]:
    runs = [life.run for trial in trials for life in trial.lives]
    found = {run: [manifest.step for manifest in checkpoints.list_manifests(objects, run)] for run in runs}
    return {run: steps for run, steps in found.items() if steps}


@pytest.mark.parametrize(
    ("keep", "trials", "expected"),
    [
        pytest.param(
            1,
            (_trial(0, 0.1, 0.2), _trial(1, 0.9, 0.3), _trial(2, 0.5)),
            {"trial-1-0001": [10]},
            id="best-of-the-best",
        ),
        pytest.param(
            2,
            (_trial(0, 0.1, 0.2), _trial(1, 0.9, 0.3), _trial(2, 0.5)),
            {"trial-1-0001": [10], "trial-2-0001": [10]},
            id="of-the-best-two",
        ),
        pytest.param(
            9,
            (_trial(0, 0.1, 0.2), _trial(1, 0.9)),
            {"trial-0-0001": [20], "trial-1-0001": [10]},
            id="more-than-there-are",
        ),
        pytest.param(
            1,
            (_trial(0, 0.1, 0.2, state="running"), _trial(1, 0.9, 0.3)),
            {"trial-0-0001": [10, 20], "trial-1-0001": [10]},
            id="what-goes-on-keeps-all",
        ),
        pytest.param(
            1,
            (_trial(0, 0.95, 0.2, state="running"), _trial(1, 0.9), _trial(2, 0.8)),
            {"trial-0-0001": [10, 20], "trial-1-0001": [10]},
            id="what-goes-on-takes-no-place",
        ),
        pytest.param(
            1,
            (_trial(0, 0.9, state="pruned"), _trial(1, 0.5), _trial(2, 0.1, state="failed")),
            {"trial-0-0001": [10]},
            id="a-pruned-one-may-be-the-best",
        ),
        pytest.param(1, (_trial(0, float("nan")),), {}, id="none-has-a-value"),
        pytest.param(1, (_trial(0, 0.2, 0.9, num_lives=2),), {"trial-0-0002": [20]}, id="of-two-lives-the-last"),
        pytest.param(1, (), {}, id="no-trials"),
    ],
)
def test_prune(
    objects: Objects, tmp_path: Path, keep: int, trials: tuple[Trial, ...], expected: dict[str, list[int]]
) -> None:
    sweep = _sweep(objects, tmp_path, *trials)

    disk.prune(objects, sweep, keep=keep)
    disk.prune(objects, sweep, keep=keep)  # twice does no more

    assert _kept(objects, *trials) == expected


def test_what_breaks_a_constraint_does_not_stay(objects: Objects, tmp_path: Path) -> None:
    trials = _trial(0, 0.9), _trial(1, 0.5)
    sweep = _sweep(objects, tmp_path, *trials, constraints=(ConstraintSpec(metric="f1_macro", at_most=0.7),))

    disk.prune(objects, sweep, keep=1)

    assert _kept(objects, *trials) == {"trial-1-0001": [10]}


def test_nothing_of_what_goes_is_left_and_all_of_what_stays_is_whole(objects: Objects, tmp_path: Path) -> None:
    trials = _trial(0, 0.9), _trial(1, 0.5)
    sweep = _sweep(objects, tmp_path, *trials)

    disk.prune(objects, sweep, keep=1)

    assert list(objects.list(paths.checkpoints("trial-1-0001"))) == []
    (kept,) = checkpoints.list_manifests(objects, "trial-0-0001")
    assert checkpoints.verify(objects, kept.run, kept.id) == []


def test_it_is_due_once_for_each_trial_that_has_ended(objects: Objects, tmp_path: Path) -> None:
    going, over = _sweep(objects, tmp_path, _trial(0, 0.1, state="running")), Sweep((_trial(0, 0.1),), objectives=(F1,))
    pruner = disk.Pruner(objects, keep=1, at_end_only=False)

    assert [len(list(pruner.due(sweep))) for sweep in (Sweep(), going, over, over)] == [0, 0, 1, 0]


def test_where_others_may_go_on_from_any_of_them_nothing_is_due(objects: Objects) -> None:
    pruner = disk.Pruner(objects, keep=1, at_end_only=True)

    assert list(pruner.due(Sweep((_trial(0, 0.1),), objectives=(F1,)))) == []


def test_what_is_due_may_be_done_later(objects: Objects, tmp_path: Path) -> None:
    trials = _trial(0, 0.9), _trial(1, 0.5)
    due = list(disk.Pruner(objects, keep=1, at_end_only=False).due(_sweep(objects, tmp_path, *trials)))
    assert _kept(objects, *trials) == {"trial-0-0001": [10], "trial-1-0001": [10]}

    for prune in due:
        prune()

    assert _kept(objects, *trials) == {"trial-0-0001": [10]}


def test_a_trial_whose_process_has_not_left_it_is_pruned_later(objects: Objects, tmp_path: Path) -> None:
    """Its best checkpoint may be on its way: without a manifest yet it would be taken for a leftover."""
    trials = _trial(0, 0.9), _trial(1, 0.5)
    sweep = _sweep(objects, tmp_path, *trials)
    taken = lease.take(objects, "trial-1-0001", lease.this_process(), now=lambda: NOW)
    pruner = disk.Pruner(objects, keep=1, at_end_only=False)

    for prune in pruner.due(sweep):
        prune()

    assert _kept(objects, *trials) == {"trial-0-0001": [10], "trial-1-0001": [10]}
    with renewed(objects, "trial-1-0001", taken, on_trouble=pytest.fail):
        """Release it."""
    (again,) = pruner.due(sweep)
    again()
    assert _kept(objects, *trials) == {"trial-0-0001": [10]}
    assert list(pruner.due(sweep)) == []
