"""How much each parameter decides whether a trial is among the good ones.

By conditional PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255; arXiv:2601.20800), which knows parameters that only
some trials have, and asks for no model of the objective.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from eagleray.report import drawing, wording
from eagleray.report.palette import FINISHED
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import ranking
from eagleray.store.sweeps import Trial

MIN_TRIALS = 10
"""Fewer say more about chance than about parameters."""

_MIN_GOOD_TRIALS = 5  # what optuna's documentation asks of the evaluator's upper quantile
# On made-up sweeps a parameter without effect got over a quarter in 5 of 12 of 16 trials, in 1 of 12 of 40.
_MANY_TRIALS = 40
_LOG_RATIO = 20


@dataclass(frozen=True, slots=True)
class Importance:
    """The share of each parameter, the largest first, and what it rests on; none where it cannot be told."""

    shares: Mapping[str, float] = field(default_factory=dict)
    basis: str = ""


def estimate(trials: Sequence[Trial], *, objective: ObjectiveSpec) -> Importance:
    """Weigh the parameters by trials that came to their end; where these are few, by all, at a step all have reached.

    Pruned trials are worse than others for having had fewer steps: only at the same step do they say anything.
    """
    values, basis = _comparable(trials, objective)
    if len(values) < MIN_TRIALS:
        found = wording.counted(len(values), "trial")
        return Importance(basis=f"Too few trials to tell: {found} can be compared, and it takes {MIN_TRIALS}.")
    if len(set(values.values())) == 1:
        return Importance(basis="Nothing to tell: all trials came to the same value.")
    chosen = [trial for trial in trials if trial.number in values]
    shares = _shares(chosen, values, objective)
    if not shares:
        return Importance(basis="Nothing to tell: no parameter differs between the good trials and the others.")
    caution = "" if len(values) >= _MANY_TRIALS else " They are few, so it is no more than a hint."
    return Importance(shares, basis=f"By {len(values)} trials, {basis}.{caution}")


def figure(importance: Importance) -> go.Figure | None:
    """Draw a bar a parameter; None where there is nothing to tell."""
    if not importance.shares:
        return None
    names = list(importance.shares)[::-1]
    shares = [importance.shares[name] for name in names]
    bars = go.Bar(
        x=shares,
        y=[wording.safe(name) for name in names],
        orientation="h",
        marker={"color": FINISHED.light},
        text=[f"{share:.0%}" for share in shares],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    return drawing.laid_out(
        go.Figure(bars),
        height=90 + 34 * len(names),
        margin={"l": 16, "r": 56, "t": 8, "b": 48},
        bargap=0.4,
        xaxis={"tickformat": ".0%", "range": [0, max(shares)], "title": {"text": "share of the importance"}},
        yaxis={"showgrid": False, "ticks": "", "ticksuffix": "  "},
        dragmode=False,
    )


def _comparable(trials: Sequence[Trial], objective: ObjectiveSpec) -> tuple[dict[int, float], str]:
    """Values by trial that were come to by the same number of steps, and in words which."""
    ended = [trial for trial in trials if trial.state in ("finished", "pruned")]
    finished = _values([trial for trial in ended if trial.state == "finished"], objective)
    ended = [trial for trial in ended if ranking.values(trial, [objective])]
    if len(finished) >= MIN_TRIALS or len(ended) < MIN_TRIALS:
        return finished, "those that came to their end"
    step = min(trial.reports[-1].step for trial in ended)
    cut = [replace(trial, reports=tuple(each for each in trial.reports if each.step <= step)) for trial in ended]
    return _values(cut, objective), f"compared at step {step:,}, which pruned ones have reached, too"


def _values(trials: Sequence[Trial], objective: ObjectiveSpec) -> dict[int, float]:
    found = {trial.number: ranking.values(trial, [objective]) for trial in trials}
    return {number: values[0] for number, values in found.items() if values}


def _shares(trials: Sequence[Trial], values: Mapping[int, float], objective: ObjectiveSpec) -> dict[str, float]:
    """The importances that optuna finds, summing to 1; empty where it finds none."""
    with _quiet():
        study = optuna.create_study(direction="maximize" if objective.mode == "max" else "minimize")
        study.add_trials(_frozen(trials, values))
        quantile = min(0.5, max(0.1, _MIN_GOOD_TRIALS / len(trials)))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)
    total = sum(found.values())
    if not math.isfinite(total) or total <= 0:
        return {}
    # Of equals the first by name: optuna goes through a set, whose order changes from process to process.
    return {name: found[name] / total for name in sorted(found, key=lambda name: (-found[name], name))}


def _frozen(trials: Sequence[Trial], values: Mapping[int, float]) -> Iterator[optuna.trial.FrozenTrial]:
    distributions = _distributions(trials)
    for trial in trials:
        params = {key: _plain(value, distributions[key]) for key, value in trial.params.items()}
        yield optuna.trial.create_trial(
            params=params, distributions={key: distributions[key] for key in params}, value=values[trial.number]
        )


def _distributions(trials: Sequence[Trial]) -> dict[str, BaseDistribution]:
    """What each parameter may have been, as far as its values show."""
    keys = dict.fromkeys(key for trial in trials for key in trial.params)
    return {key: _distribution([trial.params[key] for trial in trials if key in trial.params]) for key in keys}


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    if not all(_is_number(value) for value in values):
        return CategoricalDistribution(sorted({wording.value(value) for value in values}))
    low, high = min(values), max(values)
    is_log = low > 0 and high / low >= _LOG_RATIO
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=is_log)
    return FloatDistribution(low, high, log=is_log)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: Any, distribution: BaseDistribution) -> Any:
    return wording.value(value) if isinstance(distribution, CategoricalDistribution) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells of each study, and warns of parameters that only one trial has: these get no share."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
