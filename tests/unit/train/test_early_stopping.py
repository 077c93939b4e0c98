"""When a run stops because a metric no longer improves."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from eagleray.spec.train import EarlyStoppingSpec
from eagleray.train.early_stopping import EarlyStoppingState, observe, should_stop

NAN = math.nan


@pytest.mark.parametrize(
    ("mode", "patience", "min_delta", "values", "stops_after"),
    [
        ("max", 2, 0.0, [0.1, 0.2, 0.3, 0.4], None),
        ("max", 2, 0.0, [0.5, 0.4, 0.3], 3),
        ("max", 2, 0.0, [0.5, 0.4, 0.6, 0.5, 0.5], 5),
        ("min", 1, 0.0, [3.0, 2.0, 2.5], 3),
        ("max", 1, 0.1, [0.5, 0.55], 2),
        ("max", 1, 0.0, [0.5, 0.5], 2),
        ("max", 2, 0.0, [NAN, NAN], 2),
        ("max", 2, 0.0, [NAN, 0.1, 0.2], None),
    ],
    ids=["improves", "worsens", "recovers once", "min", "less than min_delta", "equal", "never a number", "late start"],
)
def test_stops(
    mode: Literal["max", "min"], patience: int, min_delta: float, values: list[float], stops_after: int | None
) -> None:
    spec = EarlyStoppingSpec(metric="f1", mode=mode, patience=patience, min_delta=min_delta)
    state = EarlyStoppingState()
    stopped = None
    for number, value in enumerate(values, start=1):
        state = observe(state, value, spec)
        if should_stop(state, spec):
            stopped = number
            break

    assert stopped == stops_after
