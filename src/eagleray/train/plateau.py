"""How far has the learning rate fallen because a metric no longer improves? A pure state machine."""

from __future__ import annotations

from dataclasses import dataclass, field

from eagleray.spec.schedule import ReduceOnPlateauSpec
from eagleray.train import early_stopping
from eagleray.train.early_stopping import EarlyStoppingState


@dataclass(frozen=True, slots=True)
class PlateauState:
    """What is left of the rate, and how the metric has gone since it last fell."""

    share: float = 1.0
    seen: EarlyStoppingState = field(default_factory=EarlyStoppingState)


def observe(state: PlateauState, value: float, spec: ReduceOnPlateauSpec) -> PlateauState:
    """Return the state after an evaluation gave `value`: at the end of the patience the rate falls."""
    seen = early_stopping.observe(state.seen, value, spec)
    if not early_stopping.should_stop(seen, spec):
        return PlateauState(state.share, seen)
    return PlateauState(max(spec.final, state.share * spec.factor), EarlyStoppingState(best=seen.best))
