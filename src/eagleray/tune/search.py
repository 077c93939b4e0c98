"""Which configuration is tried next? A search is asked with a trial's number, and told what came of it."""

from __future__ import annotations

import itertools
import json
import math
import random
import warnings
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from eagleray.spec.dimension import DimensionSpec
from eagleray.spec.search import GridSearchSpec, OptunaSearchSpec, RandomSearchSpec, SearchSpec
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import best, ranking
from eagleray.store.sweeps import Trial
from eagleray.tune import grid
from eagleray.tune.grid import Params, Space

T = TypeVar("T")


class Search(Protocol):
    """Proposes configurations. The same seed and the same results give the same ones, in one process or in several."""

    def ask(self, number: int, *, turn: int, known: Params) -> Params | None:
        """Return the configuration of a trial, with the values that are known; None where there is none left.

        `turn` counts the trials before that the search has proposed by itself.
        """

    def tell(self, trial: Trial) -> None:
        """Learn what came of a trial, also of one that another process has run."""


def build(
    search: SearchSpec,
    space: Space,
    *,
    objectives: Sequence[ObjectiveSpec],
    constraints: Sequence[ConstraintSpec] = (),
) -> Search:
    """Return the search that the document asks for."""
    match search:
        case GridSearchSpec():
            return Grid(space)
        case RandomSearchSpec():
            return Random(space, seed=search.seed)
        case OptunaSearchSpec():
            return Optuna(space, search, objectives=objectives, constraints=constraints)


class Grid:
    """Every combination once, in the order of the document: the last key changes fastest."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def ask(self, number: int, *, turn: int, known: Params) -> Params | None:
        """See Search. Known configurations take no place in the grid."""
        if known:
            first = {key: grid.listed(each)[0] for key, each in self._space.items()}
            return grid.existing(self._space, {**first, **known})
        return next(itertools.islice(grid.configurations(self._space), turn, None), None)

    def tell(self, trial: Trial) -> None:
        """Learn nothing."""


class Random:
    """Drawn from the space; what is a grid is gone through."""

    def __init__(self, space: Space, *, seed: int) -> None:
        self._space, self._seed = space, seed

    def ask(self, number: int, *, turn: int, known: Params) -> Params | None:
        """See Search."""
        lots = random.Random(f"{self._seed}/{number}")  # a text is hashed the same in every process
        grids = {key: each.grid for key, each in self._space.items() if each.grid}
        points = list(itertools.product(*grids.values()))
        point = dict(zip(grids, points[turn % len(points)], strict=True))
        drawn = {key: point[key] if key in point else draw(each, lots) for key, each in self._space.items()}
        return grid.existing(self._space, {**drawn, **known})

    def tell(self, trial: Trial) -> None:
        """Learn nothing."""


class Optuna:
    """Asks a study of Optuna. Ray's own adapter raises for conditional spaces whose results are known (ray 2.60)."""

    def __init__(
        self,
        space: Space,
        search: OptunaSearchSpec,
        *,
        objectives: Sequence[ObjectiveSpec],
        constraints: Sequence[ConstraintSpec] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._search = grid.in_order(space), search
        self._objectives, self._constraints = objectives, constraints
        self._asked: dict[int, int] = {}  # trial: its id in the study's storage
        self._study = optuna.create_study(directions=[_DIRECTIONS[each.mode] for each in objectives])

    def ask(self, number: int, *, turn: int, known: Params) -> Params | None:
        """See Search."""
        # A text, not a sum: the seeds 0 and 1 must not draw the same configurations, only one trial later.
        lots = random.Random(f"{self._search.seed}/{number}")
        self._study.sampler = self._sampler(seed=lots.randrange(2**31))
        if known:
            self._study.enqueue_trial({key: _plain(self._space[key], value) for key, value in known.items()})
        asked = self._study.ask()
        self._asked[number] = asked._trial_id
        params: Params = {}
        for key, dimension in self._space.items():
            if grid.exists(dimension, params):
                params[key] = _value(dimension, _suggest(asked, key, dimension))
        return params

    def tell(self, trial: Trial) -> None:
        """See Search."""
        told = self._told(trial)
        if trial.number not in self._asked:
            self._study.add_trial(told)
            return
        # `Study.tell` takes no intermediate values and no attributes; the storage under it does.
        storage, identity = self._study._storage, self._asked.pop(trial.number)
        for name, value in told.system_attrs.items():  # the constraints
            storage.set_trial_system_attr(identity, name, value)
        for step, value in told.intermediate_values.items():
            storage.set_trial_intermediate_value(identity, step, value)
        storage.set_trial_state_values(identity, told.state, told.values)

    def _sampler(self, *, seed: int) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self._search.sampler == "gp":
                return optuna.samplers.GPSampler(seed=seed, n_startup_trials=self._search.random_trials)
            return optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=self._search.random_trials,
                multivariate=True,
                group=True,
                constant_liar=True,  # those that run now are not tried once more beside
            )

    def _told(self, trial: Trial) -> FrozenTrial:
        """What came of a trial in Optuna's terms. One that was stopped early keeps its curve, an unfit one is worst."""
        params = {key: _plain(self._space[key], value) for key, value in trial.params.items() if key in self._space}
        values = ranking.values(trial, self._objectives)
        is_single = len(self._objectives) == 1
        state, curve = TrialState.COMPLETE, {}
        if values is None or trial.state in ("unfit", "failed"):
            values = None
            # Of several objectives Optuna knows no trial without values: to these it is one that did not happen.
            state = TrialState.PRUNED if is_single and trial.state == "unfit" else TrialState.FAIL
        elif trial.state == "pruned" and is_single:
            state, curve = TrialState.PRUNED, _curve(trial, self._objectives[0].metric)
            values = None
        report = ranking.best_report(trial, self._objectives)
        violation = ranking.violation(report.metrics, self._constraints) if report else math.inf
        return create_trial(
            state=state,
            values=None if values is None else list(values),
            params=params,
            distributions={key: _distribution(self._space[key]) for key in params},
            constraints={"violation": min(violation, _LARGE)} if self._constraints else None,
            intermediate_values=curve,
        )


_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
_LARGE = 1e12  # an infinite violation, which no JSON holds


def _curve(trial: Trial, metric: str) -> dict[int, float]:
    found = {report.step: best.value_of(report.metrics, metric) for report in trial.reports}
    return {step: value for step, value in found.items() if value is not None}


def _distribution(dimension: DimensionSpec) -> BaseDistribution:
    match dimension.kind:
        case "uniform":
            return FloatDistribution(*_bounds(dimension.uniform))
        case "log_uniform":
            return FloatDistribution(*_bounds(dimension.log_uniform), log=True)
        case "int_uniform":
            low, high = _bounds(dimension.int_uniform)
            return IntDistribution(int(low), int(high))
        case _:
            return CategoricalDistribution([_encoded(value) for value in grid.listed(dimension)])


def _suggest(asked: optuna.Trial, key: str, dimension: DimensionSpec) -> Any:
    match _distribution(dimension):
        case FloatDistribution(low=low, high=high, log=log):
            return asked.suggest_float(key, low, high, log=log)
        case IntDistribution(low=low, high=high):
            return asked.suggest_int(key, low, high)
        case CategoricalDistribution(choices=choices):
            return asked.suggest_categorical(key, choices)
    raise AssertionError("unreachable")


def _bounds(given: Sequence[float] | None) -> tuple[float, float]:
    low, high = given or (0.0, 0.0)
    return low, high


def draw(dimension: DimensionSpec, lots: random.Random) -> Any:
    """Return a value of a key."""
    match dimension.kind:
        case "uniform":
            return lots.uniform(*_bounds(dimension.uniform))
        case "log_uniform":
            low, high = _bounds(dimension.log_uniform)
            return min(high, max(low, math.exp(lots.uniform(math.log(low), math.log(high)))))
        case "int_uniform":
            low, high = _bounds(dimension.int_uniform)
            return lots.randint(int(low), int(high))
        case _:
            return lots.choice(grid.listed(dimension))


def _encoded(value: Any) -> CategoricalChoiceType:
    """A value of a list as Optuna takes it: a list of strings is none of its types."""
    return json.dumps(value)


def _plain(dimension: DimensionSpec, value: Any) -> Any:
    """A value of the document as Optuna has it."""
    return _encoded(value) if isinstance(_distribution(dimension), CategoricalDistribution) else value


def _value(dimension: DimensionSpec, plain: Any) -> Any:
    """A value that Optuna has as that of the document."""
    if isinstance(_distribution(dimension), CategoricalDistribution):
        return next(value for value in grid.listed(dimension) if _encoded(value) == plain)
    return plain
