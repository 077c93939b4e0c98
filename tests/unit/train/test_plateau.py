"""When the rate falls, and how far."""

from __future__ import annotations

import pytest

from eagleray.spec.schedule import ReduceOnPlateauSpec
from eagleray.train import state
from eagleray.train.plateau import PlateauState, observe
from eagleray.train.state import TrainState


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        ({}, [3.0, 2.0, 1.0], 1.0),
        ({}, [1.0, 1.0, 1.0], 0.5),
        ({}, [1.0, 1.0, 1.0, 1.0], 0.5),
        ({}, [1.0, 1.0, 1.0, 1.0, 1.0], 0.25),
        ({}, [1.0, 1.1, 0.9, 1.0, 1.0], 0.5),
        ({"mode": "max"}, [1.0, 2.0, 3.0], 1.0),
        ({"min_delta": 0.5}, [1.0, 0.8, 0.6], 0.5),
        ({"final": 0.4}, [1.0, 1.0, 1.0, 1.0, 1.0], 0.4),
        ({}, [float("nan")] * 2, 0.5),
    ],
    ids=["improves", "falls", "waits again", "twice", "best one", "max", "too little", "not below", "not a number"],
)
def test_share(options: dict[str, object], values: list[float], expected: float) -> None:
    spec = ReduceOnPlateauSpec.model_validate({"type": "reduce-on-plateau", "patience": 2, **options})
    reached = PlateauState()

    for value in values:
        reached = observe(reached, value, spec)

    assert reached.share == expected


def test_state_survives_and_older_ones_are_read() -> None:
    spec = ReduceOnPlateauSpec(type="reduce-on-plateau", patience=1)
    reached = TrainState(step=4, plateau=observe(observe(PlateauState(), 1.0, spec), 1.0, spec))
    dumped = state.dump(reached)

    assert state.load(dumped) == reached
    assert reached.plateau.share == 0.5
    del dumped["plateau"]
    assert state.load(dumped) == TrainState(step=4)
