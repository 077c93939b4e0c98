"""Which trials are stopped early: Ray Tune's schedulers, set up by the document and told what happened before."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from eagleray.spec.space import stepped
from eagleray.spec.sweep import (
    AshaSpec,
    DimensionSpec,
    FifoSpec,
    HyperbandSpec,
    MedianSpec,
    ObjectiveSpec,
    PbtSpec,
    SchedulerSpec,
)
from eagleray.store.sweeps import Trial
from eagleray.tune import search

STEP = "step"
PAUSES = (HyperbandSpec, PbtSpec)
"""Those that let a trial wait for others, and go on with it from a checkpoint."""

_GRACE_SHARE = 9  # two rungs below the last at a reduction by three


def grace_steps(scheduler: SchedulerSpec, total_steps: int) -> int:
    """Return after how many steps a trial is looked at for the first time."""
    match scheduler:
        case AshaSpec():
            return scheduler.grace_steps or max(1, (scheduler.max_steps or total_steps) // _GRACE_SHARE)
        case MedianSpec():
            return scheduler.grace_steps or max(1, total_steps // _GRACE_SHARE)
        case PbtSpec():
            return scheduler.every_steps
        case HyperbandSpec():
            return max(1, (scheduler.max_steps or total_steps) // _GRACE_SHARE)
        case FifoSpec():
            return max(1, total_steps // _GRACE_SHARE)


def build(
    scheduler: SchedulerSpec, *, objective: ObjectiveSpec, total_steps: int, space: Mapping[str, DimensionSpec]
) -> TrialScheduler:
    """Return Tune's scheduler."""
    by: dict[str, Any] = {"time_attr": STEP, "metric": result_key(objective.metric), "mode": objective.mode}
    match scheduler:
        case FifoSpec():
            return FIFOScheduler()  # type: ignore[no-untyped-call]
        case AshaSpec():
            return AsyncHyperBandScheduler(
                **by,
                grace_period=grace_steps(scheduler, total_steps),
                max_t=scheduler.max_steps or total_steps,
                reduction_factor=scheduler.reduction_factor,
            )
        case HyperbandSpec():
            return HyperBandScheduler(
                **by, max_t=scheduler.max_steps or total_steps, reduction_factor=scheduler.reduction_factor
            )
        case MedianSpec():
            return MedianStoppingRule(
                **by,
                grace_period=grace_steps(scheduler, total_steps),
                min_samples_required=scheduler.min_trials,
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
            )


def replay(scheduler: TrialScheduler, trials: Iterable[Trial]) -> None:
    """Tell a new scheduler what an earlier driver's has seen, so that its bars are where they were.

    Those that pause trials begin anew: what they compare goes on living.
    """
    if not isinstance(scheduler, AsyncHyperBandScheduler | MedianStoppingRule):
        return
    for trial in trials:
        stand_in: Any = _StandIn(f"earlier-{trial.number}")
        scheduler.on_trial_add(None, stand_in)  # type: ignore[arg-type]  # neither asks the controller
        for report in trial.reports:
            result = {STEP: report.step} | {result_key(name): value for name, value in report.metrics.items()}
            scheduler.on_trial_result(_NOBODY, stand_in, result)


def result_key(metric: str) -> str:
    """Return how Tune calls a metric of what `trial.TrialActor` tells."""
    return f"metrics/{metric}"


@dataclass(frozen=True)
class _StandIn:
    """A trial of an earlier driver, as far as a scheduler looks at it."""

    trial_id: str
    status: str = TuneTrial.TERMINATED


class _Nobody:
    """A controller of no trials, which the median rule asks for those that wait, and of no search."""

    search_alg = None

    def get_trials(self) -> list[Any]:
        return []


_NOBODY: Any = _Nobody()


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
