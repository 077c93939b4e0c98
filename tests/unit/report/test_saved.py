"""What pruning has saved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eagleray.report import saved
from eagleray.store.sweeps import Life, State, Sweep, Trial
from tests.support.sweep_samples import trial


def _trial(state: State, *lives: tuple[int, int, float]) -> Trial:
    told = tuple(Life("trial-0-0001", first_step=first, step=step, seconds=seconds) for first, step, seconds in lives)
    return replace(trial(0, state=state), lives=told)


@pytest.mark.parametrize(
    ("trials", "steps", "seconds"),
    [
        pytest.param([], 0, 0.0, id="no-trials"),
        pytest.param([_trial("finished", (0, 100, 200.0))], 0, 0.0, id="finished"),
        pytest.param([_trial("failed", (0, 40, 80.0))], 0, 0.0, id="a-failure-saves-nothing"),
        pytest.param([_trial("pruned", (0, 40, 80.0))], 60, 120.0, id="pruned"),
        pytest.param([_trial("pruned", (0, 40, 80.0)), _trial("pruned", (0, 40, 20.0))], 120, 150.0, id="own-pace"),
        pytest.param([_trial("pruned", (0, 30, 30.0), (20, 40, 70.0))], 60, 120.0, id="repeated-steps-cost-too"),
        pytest.param([_trial("pruned")], 100, 0.0, id="never-started"),
        pytest.param([_trial("pruned", (0, 120, 120.0))], 0, 0.0, id="beyond-the-end"),
    ],
)
def test_by_pruning(trials: list[Trial], steps: int, seconds: float) -> None:
    found = saved.by_pruning(Sweep(tuple(trials), total_steps=100, num_devices=2.0))

    assert found.num_steps == steps
    assert found.device_hours == pytest.approx(2 * seconds / 3600)
