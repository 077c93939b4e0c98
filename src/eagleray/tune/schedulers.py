"""Which trials are stopped early: Ray Tune's schedulers, set up by the document and told what happened before."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import (
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from eagleray.spec.dimension import DimensionSpec
from eagleray.spec.search import AshaSpec, FifoSpec, HyperbandSpec, MedianSpec, PbtSpec, SchedulerSpec
from eagleray.spec.space import stepped
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import sweeps
from eagleray.store.sweeps import Trial
from eagleray.tune import search
from eagleray.tune.halving import Halving
from eagleray.tune.rungs import grace_steps

STEP = "step"
PAUSES = (HyperbandSpec, PbtSpec)
"""Those that let a trial wait for others, and go on with it from a checkpoint."""


def build(
    scheduler: SchedulerSpec, *, objective: ObjectiveSpec, total_steps: int, space: Mapping[str, DimensionSpec]
) -> TrialScheduler:
    """Return Tune's scheduler."""
    by: dict[str, Any] = {"time_attr": STEP, "metric": result_key(objective.metric), "mode": objective.mode}
    match scheduler:
        case FifoSpec():
            return FIFOScheduler()  # type: ignore[no-untyped-call]
        case AshaSpec():
            return Halving(
                step=STEP,
                metric=result_key(objective.metric),
                loss=result_key("loss"),
                sign=1.0 if objective.mode == "max" else -1.0,
                grace_steps=grace_steps(scheduler, total_steps),
                max_steps=scheduler.max_steps or total_steps,
                reduction_factor=scheduler.reduction_factor,
            )
        case HyperbandSpec():
            return _Hyperband(
                **by, max_t=scheduler.max_steps or total_steps, reduction_factor=scheduler.reduction_factor
            )
        case MedianSpec():
            return _Median(
                **by,
                grace_period=grace_steps(scheduler, total_steps),
                min_samples_required=scheduler.min_trials,
                min_time_slice=math.inf,  # type: ignore[arg-type]  # else it pauses trials, which then need a checkpoint
            )
        case PbtSpec():
            random.seed(scheduler.seed)  # Ray draws from Python's own generator
            lots = random.Random(scheduler.seed)
            return _Population(
                **by,
                perturbation_interval=scheduler.every_steps,
                hyperparam_mutations={"params": {key: _mutation(each, lots) for key, each in space.items()}},
                quantile_fraction=scheduler.quantile,
                resample_probability=scheduler.resample,
                custom_explore_fn=lambda config: _within(config, space),
                log_config=False,
                require_attrs=False,  # an evaluation without a value is told as such
            )


def replay(scheduler: TrialScheduler, trials: Iterable[Trial]) -> None:
    """Tell a new scheduler what an earlier driver's has seen, so that its bars are where they were.

    Those that pause trials begin anew: what they compare goes on living.
    """
    if not isinstance(scheduler, Halving | MedianStoppingRule):
        return
    for trial in trials:
        stand_in = _stand_in(trial.number)
        scheduler.on_trial_add(None, stand_in)  # type: ignore[arg-type]  # neither asks the controller
        for report in trial.reports:
            result = {STEP: report.step} | {result_key(name): value for name, value in report.metrics.items()}
            scheduler.on_trial_result(_NOBODY, stand_in, result)
        if trial.state in sweeps.ENDED and trial.reports:
            scheduler.on_trial_complete(_NOBODY, stand_in, result)
    if isinstance(scheduler, MedianStoppingRule):
        # By what came later some would have been stopped that were not: they go on, and are looked at again.
        scheduler._stopped_trials.clear()


def result_key(metric: str) -> str:
    """Return how Tune calls a metric of what `trial.TrialActor` tells."""
    return f"metrics/{metric}"


@dataclass(frozen=True)
class _StandIn:
    """A trial as far as a scheduler looks at it, by its number: that stays over restarts, an id of Tune's does not."""

    trial_id: str
    config: Mapping[str, Any]
    status: str = TuneTrial.TERMINATED

    def __hash__(self) -> int:
        return hash(self.trial_id)


class _Nobody:
    """A controller without a search."""

    search_alg = None


_NOBODY: Any = _Nobody()


class _Median(MedianStoppingRule):
    """Goes on with a trial that an earlier driver began."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide what becomes of a trial."""
        return super().on_trial_result(tune_controller, _numbered(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Be told that a trial is over."""
        if {STEP, self._metric} <= result.keys():  # a trial may end before its first evaluation
            super().on_trial_complete(tune_controller, _numbered(trial), result)


def _numbered(trial: Any) -> Any:
    return _stand_in(trial.config["trial"])


def _stand_in(number: int) -> Any:
    return _StandIn(str(number), {"trial": number})


class _Hyperband(HyperBandScheduler):
    """Halves a bracket again when a trial leaves it: Ray's takes a bracket for being halved for ever (ray 2.60)."""

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        try:
            return super()._process_bracket(tune_controller, bracket)
        finally:
            bracket.is_being_processed = False


class _Population(PopulationBasedTraining):
    """Leaves a trial its own number: Ray's gives it all of the other's configuration."""

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Be told of a trial. Ray refuses any search beside it; ours proposes no more than what trials begin with."""
        super().on_trial_add(_NOBODY, trial)

    def _get_new_config(self, trial: TuneTrial, trial_to_clone: TuneTrial) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {**config, "trial": trial.config["trial"]}, operations


def _mutation(dimension: DimensionSpec, lots: random.Random) -> Any:
    """What a value may become: Ray moves along a list, and multiplies what it can draw."""
    values = dimension.choice or dimension.grid or (stepped(*dimension.quantized) if dimension.quantized else None)
    if values is not None:
        return list(values)
    return lambda: search.draw(dimension, lots)


def _within(config: dict[str, Any], space: Mapping[str, DimensionSpec]) -> dict[str, Any]:
    """Keep what was multiplied within its range, and whole numbers whole."""
    params = dict(config["params"])
    for key, dimension in space.items():
        bounds = dimension.uniform or dimension.log_uniform or dimension.int_uniform
        if bounds is None or key not in params:
            continue
        value = min(max(params[key], bounds[0]), bounds[1])
        params[key] = round(value) if dimension.int_uniform else value
    return {**config, "params": params}
