"""Sweeps on a real Ray: pruned, nested, exploited, killed. No fake could show what Tune does with our trials."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from eagleray.cli.sweep_view import SweepView
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, lease, paths, records, runs, sweeps
from eagleray.store.lease import LeaseRecord
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.store.steps import read_steps
from eagleray.store.sweeps import Sweep, Trial
from tests.ray.processes import Command, Shell, shell, wait_until
from tests.support.training import document

RUN = "test-0001"
DEFAULTS = {
    "search": {"type": "grid"},
    "scheduler": {"type": "fifo"},
    "space": {"train.learning_rate": {"grid": [3.0e-3, 1.0e-4, 1.0e-5, 1.0e-6]}},
    "objectives": [{"metric": "loss", "mode": "min"}],
}


def wanted(model: Path, reviews: Path, sweep: dict[str, Any], **sections: dict[str, Any]) -> FineTune:
    """Trials of 70 steps in 10 epochs, each with a quarter of a CPU a worker."""
    defaults: dict[str, dict[str, Any]] = {
        "train": {"epochs": 10},
        "scale": {"cpus_per_worker": 0.5},
        "sweep": {**DEFAULTS, **sweep},
    }
    merged = {name: {**defaults.get(name, {}), **sections.get(name, {})} for name in defaults | sections}
    return document(model, reviews, **merged)


class Looker(SweepView):
    """Looks on, and does something once at a time of its choice."""

    def __init__(self, act: Callable[[Sweep], bool] = lambda sweep: True) -> None:
        super().__init__(Console(quiet=True))
        self._act, self._has_acted = act, False

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        super().sweep(sweep, going)
        self._has_acted = self._has_acted or self._act(sweep)


Run = Callable[..., RunRecord]


@pytest.fixture
def search(ray_session: None, objects: Objects, tmp_path: Path) -> Run:
    """Be the driver of a sweep on the session's Ray."""
    from eagleray.tune.sweep import run_sweep

    def search(wanted: FineTune, looker: Looker | None = None) -> RunRecord:
        return run_sweep(
            wanted,
            text=dump(wanted),
            storage=objects.uri,
            cache_dir=tmp_path / "cache",
            observer=looker or Looker(),
        )

    return search


def told(objects: Objects, run: str = RUN) -> Sweep:
    return sweeps.read(events.read_events(objects, run))


def saved(objects: Objects) -> list[str]:
    """The runs of trials that have checkpoints."""
    trials = sweeps.open_trials(objects.uri, RUN)
    return [each.run for each in runs.list_runs(trials) if checkpoints.newest(trials, each.run)]


def holder(trials: Objects, trial: Trial) -> int:
    """The process that ran the first life of a trial."""
    return records.load(trials, paths.lease(trial.run, 1), LeaseRecord).holder.pid


def test_a_sweep_that_prunes(search: Run, objects: Objects, model: Path, reviews: Path) -> None:
    asha = {"scheduler": {"type": "asha", "grace_steps": 7}, "max_concurrent": 1, "keep": 1}
    record = search(wanted(model, reviews, asha))

    sweep = told(objects)
    assert (record.run, record.kind, record.phase) == (RUN, "Sweep", "succeeded")
    assert [trial.state for trial in sweep.trials] == ["finished", "pruned", "pruned", "pruned"]
    trials = sweeps.open_trials(objects.uri, RUN)
    done = [max(row["step"] for row in read_steps(trials, trial.run)) for trial in sweep.trials]
    assert [trial.num_steps for trial in sweep.trials] == done  # what the workers wrote down while they trained
    assert sum(done) <= 70 + 3 * 21
    assert len(saved(objects)) == 1
    best = checkpoints.newest(objects, RUN)
    assert best is not None
    assert checkpoints.verify(objects, RUN, best.id) == []
    assert record.metrics["validation"]["loss"] == best.metrics["loss"]
    assert objects.read(f"{paths.model(RUN)}/README.md")
    assert b"plotly" in objects.read(paths.report(RUN))


def test_nothing_leaks_from_trial_to_trial(
    search: Run, objects: Objects, model_with_dropout: Path, reviews: Path
) -> None:
    """The same trial first and last in one process, which ran others between, gives the same to the last bit."""
    same = {"train.learning_rate": 1.0e-3}
    space = {"train.learning_rate": {"grid": [3.0e-3, 1.0e-5, 1.0e-3]}}
    search(wanted(model_with_dropout, reviews, {"start_from": [same], "space": space, "max_concurrent": 1}))

    first, *_, last = told(objects).trials
    assert (first.params, last.params) == (same, same)
    assert [report.metrics for report in first.reports] == [report.metrics for report in last.reports]
    trials = sweeps.open_trials(objects.uri, RUN)
    assert len({holder(trials, trial) for trial in told(objects).trials}) == 1


def test_trials_of_two_workers(search: Run, objects: Objects, model: Path, reviews: Path) -> None:
    """A stopped one gives back its CPUs within three seconds: the next one is waiting for them."""
    from eagleray.train import cluster

    asha = {
        "scheduler": {"type": "asha", "grace_steps": 7},
        "space": {"train.learning_rate": {"grid": [3.0e-3, 1.0e-6]}},
        "max_concurrent": 1,
    }
    scale = {"num_workers": 2, "cpus_per_worker": 1.0, "zero": {"stage": 2}}
    freed_after: list[float] = []

    def when_pruned(sweep: Sweep) -> bool:
        if sweep.trials[-1].state != "pruned":
            return False
        since = time.monotonic()
        assert wait_until(lambda: cluster.free().num_cpus == 4.0, timeout_s=20, every_s=0.05)
        freed_after.append(time.monotonic() - since)
        return True

    record = search(wanted(model, reviews, asha, scale=scale), Looker(when_pruned))

    assert record.phase == "succeeded"
    assert [trial.state for trial in told(objects).trials] == ["finished", "pruned"]
    assert freed_after
    assert freed_after[0] < 3.0


@pytest.mark.parametrize(
    "num_workers", [pytest.param(1, id="in-its-actor"), pytest.param(2, marks=pytest.mark.slow, id="nested")]
)
def test_population(search: Run, objects: Objects, model: Path, reviews: Path, num_workers: int) -> None:
    """A bad learning rate becomes another in mid-run, from a better trial's checkpoint."""
    pbt = {
        "search": {"type": "random"},
        "scheduler": {"type": "pbt", "every_steps": 56, "quantile": 0.5, "resample": 0.0},
        "space": {"train.learning_rate": {"log_uniform": [1.0e-6, 5.0e-3]}},
        "start_from": [{"train.learning_rate": 1.0e-6}, {"train.learning_rate": 2.0e-3}],
        "budget": {"trials": 2},
    }
    # Long enough that the other trial has begun, whatever its process waited for, before the first one is over.
    train = {"epochs": 40, "evaluate_every_steps": 14}
    scale = {"num_workers": num_workers, "cpus_per_worker": 0.5, "zero": {"stage": 0 if num_workers == 1 else 2}}
    record = search(wanted(model, reviews, pbt, train=train, scale=scale))

    bad = told(objects).trials[0]
    assert record.phase == "succeeded"
    learned = [change for change in bad.changes if change.params["train.learning_rate"] > 1.0e-3]
    assert learned
    assert learned[0].donor == 1
    assert learned[0].step in range(56, 280, 14)
    forked = runs.read(sweeps.open_trials(objects.uri, RUN), bad.run).forked_from
    assert forked is not None
    assert forked.run.startswith("trial-1-")
    assert bad.state == "finished", bad.error


def test_a_trial_whose_process_is_killed(
    search: Run, objects: Objects, model_with_dropout: Path, reviews: Path
) -> None:
    """It goes on from its checkpoint, and comes to what it would have come to."""
    space = {"train.learning_rate": {"grid": [1.0e-3]}}
    one = {"space": space, "max_concurrent": 1}
    train = {"epochs": 60, "evaluate_every_steps": 7}
    expected = search(wanted(model_with_dropout, reviews, one, train=train))

    def kill(sweep: Sweep) -> bool:
        if not sweep.trials or sweep.trials[0].step < 70:
            return False
        trials = sweeps.open_trials(objects.uri, "test-0002")
        os.kill(holder(trials, sweep.trials[0]), signal.SIGKILL)
        return True

    record = search(wanted(model_with_dropout, reviews, one, train=train), Looker(kill))

    [trial] = told(objects, record.run).trials
    assert (trial.state, len(trial.lives)) == ("finished", 2)
    assert trial.lives[1].first_step >= 63
    assert record.metrics == expected.metrics


BY_EIGHT = {
    "scheduler": {"type": "hyperband", "reduction_factor": 8},
    "space": {"train.learning_rate": {"grid": [3.0e-3, 2.0e-3, 1.0e-3, 2.5e-3, 1.5e-3, 1.0e-6]}},
}
"""Of 70 steps a first bracket of three trials, which all go on, and a second one, of which two do."""
MEDIAN = {"scheduler": {"type": "median", "min_trials": 2}, "max_concurrent": 1}
"""One after another: what several at once are compared with depends on which of them is first."""


@pytest.mark.slow  # that Tune's schedulers stop ours is seen with asha, that trials can wait with pbt
@pytest.mark.parametrize(
    ("sweep", "num_finished", "num_pruned"),
    [pytest.param(BY_EIGHT, 5, 1, id="hyperband"), pytest.param(MEDIAN, 2, 2, id="median")],
)
def test_other_schedulers(
    search: Run,
    objects: Objects,
    model: Path,
    reviews: Path,
    sweep: dict[str, Any],
    num_finished: int,
    num_pruned: int,
) -> None:
    record = search(wanted(model, reviews, sweep))

    trials = told(objects).trials
    assert record.phase == "succeeded"
    assert [trial.state for trial in trials] == ["finished"] * num_finished + ["pruned"] * num_pruned
    assert all(trial.step < 70 for trial in trials[num_finished:])
    assert record.metrics["validation"]["loss"] == min(
        report.metrics["loss"] for trial in trials for report in trial.reports
    )


@pytest.mark.slow  # one sweep more
def test_configurations_that_cannot_work(search: Run, objects: Objects, model: Path, reviews: Path) -> None:
    """A loss that is not finite, and values that the document refuses together: told as such, and not tried again."""
    space = {
        "train.learning_rate": {"grid": [1.0e30, 1.0e-3]},
        "scale.zero.stage": {"grid": [0]},
        "scale.zero.offload_optimizer": {"grid": [False, True]},  # each of the two is right with what the document has
    }
    record = search(wanted(model, reviews, {"space": space}, scale={"cpus_per_worker": 0.5, "zero": {"stage": 1}}))

    endless, refused, works, also_refused = told(objects).trials
    assert record.phase == "succeeded"
    assert works.state == "finished"
    assert endless.state == "unfit"
    assert "the loss was" in endless.error
    assert {refused.state, also_refused.state} == {"unfit"}
    assert "offload_optimizer: needs stage 1, 2 or 3" in refused.error
    assert not refused.lives


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path) as opened:
        yield opened


@pytest.fixture
def start(user: Shell, model_with_dropout: Path, reviews: Path) -> Callable[..., Command]:
    """Starts the same command each time: two trials of seven steps an epoch, one after another."""
    job = user.folder / "job.yaml"
    sweep = {"space": {"train.learning_rate": {"grid": [1.0e-3, 1.0e-4]}}, "max_concurrent": 1}

    def start(*, epochs: int = 60) -> Command:
        train = {"epochs": epochs, "evaluate_every_steps": 70}
        job.write_text(dump(wanted(model_with_dropout, reviews, sweep, train=train)), encoding="utf-8")
        return user.start("eagleray", "sweep", str(job), "--storage", "storage")

    return start


@pytest.mark.slow
def test_a_driver_that_is_killed(user: Shell, start: Callable[..., Command], objects: Objects) -> None:
    """What was finished stays, what was under way goes on, and nothing is tried twice: nor by two at once."""
    again_and_again = partial(start, epochs=200)  # so that it still goes on when it is known that it does: after 30 s
    first = again_and_again()
    first.wait_for("trial 1:")
    assert wait_until(lambda: told(objects).trials[-1].step >= 70, timeout_s=60)

    first.process.kill()

    assert wait_until(lambda: not user.left_over(), timeout_s=60), user.left_over()
    again = again_and_again()
    assert wait_until(lambda: lease.newest_number(objects, RUN) == 2)
    second = again_and_again()
    assert second.wait() == 2, second.err
    assert f"run {RUN} is being driven by" in second.err
    assert again.wait() == 0, again.err
    assert runs.read(objects, RUN).phase == "succeeded"
    assert [run.run for run in runs.list_runs(objects)] == [RUN]
    finished, resumed = told(objects).trials
    assert (finished.state, len(finished.lives)) == ("finished", 1)
    assert (resumed.state, len(resumed.lives)) == ("finished", 2)
    assert resumed.lives[1].first_step >= 70
    assert "report: " in again.out


@pytest.mark.slow
def test_ctrl_c(user: Shell, start: Callable[..., Command], objects: Objects) -> None:
    """Once: no new trials, those that run are saved, and the same command goes on."""
    first = start()
    first.wait_for("trial 0:")
    assert wait_until(lambda: bool(told(objects).trials[0].reports), timeout_s=60)

    first.interrupt()

    assert first.wait() == 130, first.err
    assert first.err.splitlines()[-1] == (
        f"error: {RUN} was stopped with 0 trials done and 1 saved half-way: run the same command again to go on"
    )
    assert wait_until(lambda: not user.left_over(), timeout_s=20), user.left_over()
    assert runs.read(objects, RUN).phase == "stopped"
    again = start()
    assert again.wait() == 0, again.err
    resumed, _ = told(objects).trials
    assert resumed.lives[1].first_step == resumed.lives[0].step


@pytest.mark.slow
def test_ctrl_c_twice(user: Shell, start: Callable[..., Command], objects: Objects) -> None:
    """At once: what was not saved is done again, and nothing that was."""
    first = start()
    first.wait_for("trial 0:")
    assert wait_until(lambda: told(objects).trials[0].step >= 140, timeout_s=60)

    first.interrupt()
    first.wait_for("Ctrl-C again stops at once")
    first.interrupt()

    assert first.wait() == 130, first.err
    assert runs.read(objects, RUN).phase == "stopped"
    assert wait_until(lambda: not user.left_over(), timeout_s=20), user.left_over()
    again = start()
    assert again.wait() == 0, again.err
    resumed, other = told(objects).trials
    assert (resumed.state, len(resumed.lives)) == ("finished", 2)
    assert resumed.lives[1].first_step >= 70
    assert (other.state, len(other.lives)) == ("finished", 1)
