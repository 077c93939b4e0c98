"""What share of the learning rate each step gets."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from eagleray.spec.schedule import ScheduleSpec
from eagleray.train.schedules import multiplier, num_warmup_steps

SCHEDULE: TypeAdapter[ScheduleSpec] = TypeAdapter(ScheduleSpec)

CURVES = {
    "constant": ({"type": "constant"}, [1.0, 1.0, 1.0, 1.0, 1.0]),
    "linear": ({"type": "linear"}, [1.0, 0.75, 0.5, 0.25, 0.0]),
    "cosine": ({"type": "cosine"}, [1.0, 0.8535533905932737, 0.5, 0.1464466094067262, 0.0]),
    "cosine-final": ({"type": "cosine", "final": 0.5}, [1.0, 0.9267766952966369, 0.75, 0.5732233047033631, 0.5]),
    "restarts": ({"type": "cosine-with-restarts", "cycles": 2}, [1.0, 0.5, 1.0, 0.5, 0.0]),
    "cyclical": ({"type": "cyclical", "cycles": 2, "low": 0.5}, [0.5, 1.0, 0.5, 1.0, 0.5]),
    "polynomial": ({"type": "polynomial", "power": 2.0}, [1.0, 0.5625, 0.25, 0.0625, 0.0]),
    "one-cycle": ({"type": "one-cycle", "rise": 0.25, "low": 0.2}, [0.2, 1.0, 0.75, 0.25, 0.0]),
    "plateau": ({"type": "reduce-on-plateau"}, [1.0, 1.0, 1.0, 1.0, 1.0]),
    "polynomial-final": ({"type": "polynomial", "power": 1.0, "final": 0.2}, [1.0, 0.8, 0.6, 0.4, 0.2]),
}


@pytest.mark.parametrize(("spec", "expected"), CURVES.values(), ids=CURVES)
def test_curve_at_the_quarters(spec: dict[str, object], expected: list[float]) -> None:
    schedule = SCHEDULE.validate_python(spec)

    assert [multiplier(schedule, step=step, total_steps=400) for step in (0, 100, 200, 300, 400)] == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [({"warmup": 0.1}, 10), ({"warmup_steps": 7}, 7), ({"warmup": 0.001}, 1), ({}, 0)],
    ids=["fraction", "steps", "rounded up", "none"],
)
def test_warmup_length(warmup: dict[str, object], expected: int) -> None:
    schedule = SCHEDULE.validate_python({"type": "linear", **warmup})

    assert num_warmup_steps(schedule, total_steps=100) == expected


WITH_WARMUP = {name: spec for name, (spec, _) in CURVES.items() if name != "one-cycle"}


@pytest.mark.parametrize("spec", WITH_WARMUP.values(), ids=WITH_WARMUP)
def test_warmup_rises_from_above_zero_and_never_exceeds_one(spec: dict[str, object]) -> None:
    schedule = SCHEDULE.validate_python({**spec, "warmup_steps": 10})

    rates = [multiplier(schedule, step=step, total_steps=50) for step in range(50)]

    assert 0 < rates[0] < rates[5] < rates[9]
    assert max(rates) <= 1.0
