"""How much does a result depend on the draw of a few rows? Mean and deviation over trials that differ in it alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eagleray.store import best, ranking
from eagleray.store.sweeps import Sweep, Trial

KEY = "data.few_shot.draw"


@dataclass(frozen=True, slots=True)
class Spread:
    """Trials that differ in the draw alone."""

    params: Mapping[str, Any]  # but the draw
    draws: int
    mean: float
    deviation: float  # of a sample: divided by draws - 1; 0 for one draw


def spreads(sweep: Sweep) -> tuple[Spread, ...]:
    """Return the spread of the metric that ranks over the draws, the best mean first; () where no draw is searched.

    Trials that were stopped early, or that failed, do not count.
    """
    if not sweep.objectives:
        return ()
    by = ranking.primary(sweep.objectives)
    groups: dict[str, list[tuple[Trial, float]]] = {}
    for trial in sweep.trials:
        report = ranking.best_report(trial, sweep.objectives)
        value = best.value_of(report.metrics, by.metric) if report else None
        if trial.state == "finished" and KEY in trial.params and value is not None:
            groups.setdefault(json.dumps(_others(trial.params), sort_keys=True), []).append((trial, value))
    found = [_spread(group) for group in groups.values()]
    return tuple(sorted(found, key=lambda each: each.mean, reverse=by.mode == "max"))


def _spread(group: Sequence[tuple[Trial, float]]) -> Spread:
    values = [value for _, value in group]
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(_others(group[0][0].params), len(values), statistics.fmean(values), deviation)


def _others(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key != KEY}
