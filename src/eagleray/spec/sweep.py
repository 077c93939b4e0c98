"""What a sweep searches, how, for what and at what cost: the section `sweep` of a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec import dimension
from eagleray.spec.base import Conflict, ConflictError, InWords, Spec, Text
from eagleray.spec.dimension import DimensionSpec, Value
from eagleray.spec.scale import ScaleSpec
from eagleray.spec.search import (
    AshaSpec,
    GridSearchSpec,
    HyperbandSpec,
    OptunaSearchSpec,
    PbtSpec,
    SchedulerSpec,
    SearchSpec,
    Steps,
)


class SweepBudgetSpec(Spec):
    """What a sweep may cost. It ends with the first that is used up."""

    trials: Annotated[int, Field(ge=1)] | None = None
    """Configurations. Left out: all of a grid, else as many as the other bounds allow."""
    steps: Steps | None = None
    """Optimizer steps of all trials together."""
    device_hours: Annotated[float, Field(gt=0)] | None = None
    """GPU-hours of all trials together; CPU-hours where trials have no GPU."""
    hours: Annotated[float, Field(gt=0)] | None = None
    """Hours by the clock, over all starts of the sweep."""


class PlateauSpec(Spec):
    """Ends the sweep where the best no longer improves."""

    trials: Annotated[int, Field(ge=1)]
    """So many trials in a row have ended without a better one among them."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """What counts as better."""


class ObjectiveSpec(Spec):
    """What makes a trial the best: a metric of its best checkpoint."""

    metric: Text
    """A metric of the task on the validation split, as `f1_macro`; or `model_size_mb`, `latency_ms`."""
    mode: Literal["max", "min"]
    """`max`: higher is better. `min`: lower is better."""


class ConstraintSpec(Spec):
    """What a trial must keep to be the best."""

    metric: Text
    """As in an objective."""
    at_most: float | None = None
    """No more than this."""
    at_least: float | None = None
    """No less than this."""

    @model_validator(mode="after")
    def _bounds_something(self) -> ConstraintSpec:
        if self.at_most is None and self.at_least is None:
            raise ConflictError(Conflict("", "bounds nothing: give `at_most` or `at_least`"))
        return self


class WarmStartSpec(Spec):
    """Configurations of an earlier sweep that are tried first."""

    sweep: Text
    """Its id or name, as `sms-spam-0003`, on the same storage."""
    best: Annotated[int, Field(ge=1)] = 1
    """How many of its best."""


class FinalSpec(Spec):
    """A last run with the best configuration, after the sweep: `eagleray sweep FILE --final`."""

    epochs: Annotated[int, Field(ge=1)] | None = None
    """Passes over the data. Left out: as many as a trial had."""
    with_validation: bool = True
    """Train on the validation rows, too: the test rows, which must be there, then judge the model alone."""
    scale: ScaleSpec | None = None
    """Its workers: what a trial learns with few, this run learns with more. Left out: those of a trial."""


class SweepSpec(Spec):
    """A search for the best values of some keys of this document."""

    space: Annotated[dict[str, DimensionSpec], InWords("a mapping from keys to what they may be")]
    """What is searched, by key: `train.learning_rate: {log_uniform: [1.0e-5, 1.0e-3]}`."""
    search: SearchSpec = OptunaSearchSpec(type="optuna")
    """How the next configuration is chosen."""
    scheduler: SchedulerSpec = AshaSpec(type="asha")
    """Which trials are stopped early."""
    budget: SweepBudgetSpec = SweepBudgetSpec()
    """What the sweep may cost."""
    plateau: PlateauSpec | None = None
    """Ends the sweep where the best no longer improves."""
    objectives: tuple[ObjectiveSpec, ...] = ()
    """What makes a trial the best. Left out: the task's main metric. Of several the first decides which are stopped
    early, and which of those that no other beats in all (the Pareto front) is taken."""
    constraints: tuple[ConstraintSpec, ...] = ()
    """What a trial must keep to be the best."""
    start_from: tuple[dict[str, Value], ...] = ()
    """Configurations known to be good, tried first: `[{train.learning_rate: 3.0e-5}]`. A key left out is searched."""
    warm_start: WarmStartSpec | None = None
    """The best configurations of an earlier sweep, tried first."""
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    """Trials at a time. Left out: as many as fit on the cluster."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a trial is started again after its process was lost or an unforeseen error."""
    keep: Annotated[int, Field(ge=1)] = 3
    """Checkpoints of how many of the best trials stay."""
    final: FinalSpec | None = None
    """A last run with the best configuration, where `--final` asks for it."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> SweepSpec:
        conflicts = list(_sweep_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self


def _sweep_conflicts(sweep: SweepSpec) -> Iterator[Conflict]:
    if not sweep.space:
        yield Conflict("space", "is empty: name at least one key, as train.learning_rate: {log_uniform: [1e-5, 1e-3]}")
    yield from dimension.conflicts(sweep.space)
    yield from _search_conflicts(sweep)
    for metric, count in Counter(each.metric for each in sweep.objectives).items():
        if count > 1:
            yield Conflict("objectives", f"{metric} is there {count} times: keep one")
    yield from _constraint_conflicts(sweep.constraints)
    for number, point in enumerate(sweep.start_from):
        if not point:
            yield Conflict(f"start_from[{number}]", "is empty: give a value of at least one key, or leave it out")
        unknown = [key for key in point if key not in sweep.space]
        if unknown:
            yield Conflict(
                f"start_from[{number}]", f"{', '.join(unknown)} is not in the space: add it there, or leave it out"
            )


def _search_conflicts(sweep: SweepSpec) -> Iterator[Conflict]:
    bounds = sweep.budget
    is_bounded = any((bounds.trials, bounds.steps, bounds.device_hours, bounds.hours, sweep.plateau))
    if not isinstance(sweep.search, GridSearchSpec) and not is_bounded:
        yield Conflict("budget", f"search {sweep.search.type} has no end of its own: give `trials`, as 16")
    pauses = isinstance(sweep.scheduler, HyperbandSpec | PbtSpec)
    if pauses and bounds.trials is None and not isinstance(sweep.search, GridSearchSpec):
        yield Conflict("budget.trials", f"{sweep.scheduler.type} has all trials at once: say how many, as 8")
    for key, searched in sweep.space.items():
        place = f'space."{key}".{searched.kind}'
        if isinstance(sweep.search, GridSearchSpec) and searched.kind in ("uniform", "log_uniform"):
            yield Conflict(place, "a grid search cannot try all of a range: give `grid`, `quantized` or `int_uniform`")
        if isinstance(sweep.search, OptunaSearchSpec) and searched.kind == "grid":
            yield Conflict(place, "optuna chooses by itself what it tries how often: give `choice`, or search random")


def _constraint_conflicts(constraints: tuple[ConstraintSpec, ...]) -> Iterator[Conflict]:
    for metric in dict.fromkeys(each.metric for each in constraints):
        most = [each.at_most for each in constraints if each.metric == metric and each.at_most is not None]
        least = [each.at_least for each in constraints if each.metric == metric and each.at_least is not None]
        if most and least and min(most) < max(least):
            yield Conflict(
                "constraints", f"no {metric} is at most {min(most):g} and at least {max(least):g}: change one of them"
            )
