"""Where does a run stand after a step? All that decides how it goes on, but for the weights and the optimizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from eagleray.train.early_stopping import EarlyStoppingState
from eagleray.train.plateau import PlateauState


@dataclass(frozen=True, slots=True)
class TrainState:
    """What resumes. The position in the data follows from the step, the learning rate too."""

    step: int = 0
    is_settled: bool = True  # the evaluation and the checkpoint that are due after the step have been done
    stopping: EarlyStoppingState = field(default_factory=EarlyStoppingState)
    plateau: PlateauState = field(default_factory=PlateauState)
    num_not_finite: int = 0  # steps in a row, up to this one, whose loss or gradient was not finite
    baseline: dict[str, Any] = field(default_factory=dict)  # metrics of the untuned model and of the majority


def dump(state: TrainState) -> dict[str, Any]:
    """Return the state as JSON-able values."""
    return asdict(state)


def load(values: dict[str, Any]) -> TrainState:
    """Return what `dump` was given; versions before knew no plateau."""
    plateau = values.get("plateau")
    return TrainState(
        **{
            **values,
            "stopping": EarlyStoppingState(**values["stopping"]),
            "plateau": PlateauState(plateau["share"], EarlyStoppingState(**plateau["seen"]))
            if plateau
            else PlateauState(),
        }
    )
