"""What a sweep searches, how, for what and at what cost: the section `sweep` of a document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, InWords, Spec, Text
from eagleray.spec.scale import ScaleSpec

Value = Annotated[
    bool | int | float | str | tuple[str, ...], InWords("a single value, or a list of strings where the key takes one")
]
"""A value of the document, as it stands in YAML."""

Range = Annotated[tuple[float, ...], Field(min_length=2, max_length=2), InWords("two numbers, as [low, high]")]
IntRange = Annotated[tuple[int, ...], Field(min_length=2, max_length=2), InWords("two whole numbers, as [low, high]")]
SteppedRange = Annotated[
    tuple[float, ...], Field(min_length=3, max_length=3), InWords("three numbers, as [low, high, step]")
]
Values = Annotated[
    tuple[Value, ...],
    Field(min_length=1),
    InWords("a list with at least one value, each a single one or a list of strings"),
]
Steps = Annotated[int, Field(ge=1)]

_KINDS = ("uniform", "log_uniform", "int_uniform", "quantized", "choice", "grid")


class DimensionSpec(Spec):
    """What one key of the document may be. Exactly one of the keys but `when` is given."""

    uniform: Range | None = None
    """Any number from `[low, high]`, each as likely."""
    log_uniform: Range | None = None
    """Any number from `[low, high]`, each order of magnitude as likely: for learning rates and the like."""
    int_uniform: IntRange | None = None
    """Any whole number from `[low, high]`, both among them."""
    quantized: SteppedRange | None = None
    """`[low, high, step]`: low, low + step, … up to high."""
    choice: Values | None = None
    """One of these values."""
    grid: Values | None = None
    """Each of these values as often as the others: all combinations of all grids are gone through in turn."""
    when: dict[str, Value] = Field(default={})
    """The key is searched only where others of the space have these values: `{method.type: lora}`."""

    @model_validator(mode="after")
    def _is_a_range(self) -> DimensionSpec:
        conflicts = list(_dimension_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self

    @property
    def kind(self) -> str:
        """Which of the keys is given."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)


class GridSearchSpec(Spec):
    """Every combination of the values, once."""

    type: Literal["grid"]
    """How the next configuration is chosen."""


class RandomSearchSpec(Spec):
    """Configurations drawn at random, none of them by what came of the others."""

    type: Literal["random"]
    """How the next configuration is chosen."""
    seed: int = 0
    """The same seed draws the same configurations."""


class OptunaSearchSpec(Spec):
    """Configurations chosen by what came of those before (Akiba et al. 2019, arXiv:1907.10902)."""

    type: Literal["optuna"]
    """How the next configuration is chosen."""
    sampler: Literal["tpe", "gp"] = "tpe"
    """`tpe`: tree-structured Parzen estimator, for any space. `gp`: Gaussian process, for few keys and few trials."""
    seed: int = 0
    """The same seed and the same results choose the same configurations."""
    random_trials: Annotated[int, Field(ge=0)] = 8
    """So many configurations are drawn at random before the first is chosen."""


SearchSpec = Annotated[GridSearchSpec | RandomSearchSpec | OptunaSearchSpec, Field(discriminator="type")]


class FifoSpec(Spec):
    """Every trial comes to its end."""

    type: Literal["fifo"]
    """Which trials are stopped early."""


class AshaSpec(Spec):
    """Asynchronous successive halving: at each rung the best go on (Li et al. 2018, arXiv:1810.05934)."""

    type: Literal["asha"]
    """Which trials are stopped early."""
    grace_steps: Steps | None = None
    """The first rung: no trial is stopped before so many optimizer steps. Left out: a ninth of `max_steps`."""
    max_steps: Steps | None = None
    """The last rung. Left out: the steps of a whole trial."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in so many goes on from a rung to the next, which is so many times as far."""

    @model_validator(mode="after")
    def _max_is_not_below_grace(self) -> AshaSpec:
        if None not in (self.grace_steps, self.max_steps) and self.max_steps < self.grace_steps:  # type: ignore[operator]
            message = f"{self.max_steps} is below grace_steps {self.grace_steps}: no trial could ever be stopped"
            raise ConflictError(Conflict("max_steps", f"{message}; give more, or lower grace_steps"))
        return self


class HyperbandSpec(Spec):
    """Successive halving with several first rungs; trials wait for each other (Li et al. 2016, arXiv:1603.06560)."""

    type: Literal["hyperband"]
    """Which trials are stopped early."""
    max_steps: Steps | None = None
    """The last rung. Left out: the steps of a whole trial."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in so many goes on from a rung to the next."""


class MedianSpec(Spec):
    """A trial is stopped where its best is worse than the median of the others' means (Golovin et al. 2017)."""

    type: Literal["median"]
    """Which trials are stopped early."""
    grace_steps: Steps | None = None
    """No trial is stopped before so many optimizer steps. Left out: a ninth of the steps of a whole trial."""
    min_trials: Annotated[int, Field(ge=2)] = 3
    """How many others must have come as far."""


class PbtSpec(Spec):
    """Bad trials go on from a good one's checkpoint, with changed values (Jaderberg et al. 2017, arXiv:1711.09846)."""

    type: Literal["pbt"]
    """Which trials are stopped early."""
    every_steps: Steps
    """So many optimizer steps lie between two comparisons of a trial with the others."""
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    """The share of trials at the bottom that is replaced by a share as large at the top."""
    resample: Annotated[float, Field(ge=0, le=1)] = 0.25
    """How likely a value is drawn anew; else it becomes larger or smaller by a fifth, or its neighbour in a list."""
    seed: int = 0
    """Of what is drawn."""


SchedulerSpec = Annotated[
    FifoSpec | AshaSpec | HyperbandSpec | MedianSpec | PbtSpec,
    Field(discriminator="type"),
]


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


def _dimension_conflicts(dimension: DimensionSpec) -> Iterator[Conflict]:
    given = [kind for kind in _KINDS if getattr(dimension, kind) is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} exclude each other: keep one" if given else f"give one of {', '.join(_KINDS)}"
        yield Conflict("", what)
        return
    (kind,) = given
    if kind in ("choice", "grid"):
        return
    low, high, *step = getattr(dimension, kind)
    if not low < high:
        yield Conflict(kind, f"low {low:g} must be below high {high:g}")
    elif kind == "log_uniform" and low <= 0:
        yield Conflict(kind, f"low {low:g} has no logarithm: give a number above 0")
    elif step and not 0 < step[0] <= high - low:
        yield Conflict(kind, f"step {step[0]:g} must be above 0 and at most {high - low:g}")


def _sweep_conflicts(sweep: SweepSpec) -> Iterator[Conflict]:
    if not sweep.space:
        yield Conflict("space", "is empty: name at least one key, as train.learning_rate: {log_uniform: [1e-5, 1e-3]}")
    yield from _condition_conflicts(sweep.space)
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


def _condition_conflicts(space: dict[str, DimensionSpec]) -> Iterator[Conflict]:
    for key, dimension in space.items():
        for other, value in dimension.when.items():
            place = f'space."{key}".when."{other}"'
            if other not in space:
                yield Conflict(place, "is not in the space: a condition is about another key that is searched")
            elif _depends(space, other, on=key):
                yield Conflict(place, f"{key} and {other} wait for each other: leave one of the conditions out")
            elif (values := space[other].choice or space[other].grid) is None:
                yield Conflict(
                    place, f"{other} has no list of values: a condition is about one with `choice` or `grid`"
                )
            elif value not in values:
                listed = ", ".join(map(json.dumps, values))
                yield Conflict(place, f"{other} is never {json.dumps(value)}: give one of {listed}")


def _depends(space: dict[str, DimensionSpec], key: str, *, on: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether the existence of `key` depends on the value of `on`, be it by others."""
    if key == on:
        return True
    if key in seen or key not in space:
        return False
    return any(_depends(space, other, on=on, seen=seen | {key}) for other in space[key].when)


def _search_conflicts(sweep: SweepSpec) -> Iterator[Conflict]:
    bounds = sweep.budget
    is_bounded = any((bounds.trials, bounds.steps, bounds.device_hours, bounds.hours, sweep.plateau))
    if not isinstance(sweep.search, GridSearchSpec) and not is_bounded:
        yield Conflict("budget", f"search {sweep.search.type} has no end of its own: give `trials`, as 16")
    pauses = isinstance(sweep.scheduler, HyperbandSpec | PbtSpec)
    if pauses and bounds.trials is None and not isinstance(sweep.search, GridSearchSpec):
        yield Conflict("budget.trials", f"{sweep.scheduler.type} has all trials at once: say how many, as 8")
    for key, dimension in sweep.space.items():
        place = f'space."{key}".{dimension.kind}'
        if isinstance(sweep.search, GridSearchSpec) and dimension.kind in ("uniform", "log_uniform"):
            yield Conflict(place, "a grid search cannot try all of a range: give `grid`, `quantized` or `int_uniform`")
        if isinstance(sweep.search, OptunaSearchSpec) and dimension.kind == "grid":
            yield Conflict(place, "optuna chooses by itself what it tries how often: give `choice`, or search random")


def _constraint_conflicts(constraints: tuple[ConstraintSpec, ...]) -> Iterator[Conflict]:
    for metric in dict.fromkeys(each.metric for each in constraints):
        most = [each.at_most for each in constraints if each.metric == metric and each.at_most is not None]
        least = [each.at_least for each in constraints if each.metric == metric and each.at_least is not None]
        if most and least and min(most) < max(least):
            yield Conflict(
                "constraints", f"no {metric} is at most {min(most):g} and at least {max(least):g}: change one of them"
            )
