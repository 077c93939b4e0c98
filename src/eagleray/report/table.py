"""The trials as rows of a table, the best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eagleray.report import wording
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import best, ranking
from eagleray.store.sweeps import Report, State, Sweep, Trial

NOTHING = "—"


@dataclass(frozen=True, slots=True)
class Row:
    """A trial, every cell as text."""

    rank: str
    number: int
    source: str  # empty where the search proposed it
    state: State
    objectives: tuple[str, ...]
    constraints: str  # what is broken of them
    params: tuple[str, ...]
    steps: str
    duration: str
    error: str


def param_keys(sweep: Sweep) -> list[str]:
    """What was searched, in the order in which it turned up."""
    return list(dict.fromkeys(key for trial in sweep.trials for key in trial.params))


def rows(
    sweep: Sweep,
    *,
    objectives: Sequence[ObjectiveSpec],
    constraints: Sequence[ConstraintSpec],
    ranked: Sequence[Trial],
) -> list[Row]:
    """The ranked trials, then those with a value that break a constraint, then the others."""
    ranks = {trial.number: rank for rank, trial in enumerate(ranked, start=1)}
    rest = [trial for trial in sweep.trials if trial.number not in ranks]
    valued = {trial.number: trial for trial in ranking.ranked(rest, objectives=objectives)}
    in_order = [*ranked, *valued.values(), *(trial for trial in rest if trial.number not in valued)]
    keys = param_keys(sweep)
    return [_row(trial, str(ranks.get(trial.number, NOTHING)), keys, objectives, constraints) for trial in in_order]


def _row(
    trial: Trial,
    rank: str,
    keys: Sequence[str],
    objectives: Sequence[ObjectiveSpec],
    constraints: Sequence[ConstraintSpec],
) -> Row:
    report = ranking.best_report(trial, objectives)
    return Row(
        rank=rank,
        number=trial.number,
        source="" if trial.source == "search" else trial.source,
        state=trial.state,
        objectives=tuple(_metric(report, each.metric) for each in objectives),
        constraints="; ".join(_broken(report, constraints)) or "kept" if report else NOTHING,
        params=tuple(wording.value(trial.params[key]) if key in trial.params else NOTHING for key in keys),
        steps=f"{trial.num_steps:,}",
        duration=wording.duration(trial.seconds),
        error=trial.error,
    )


def _metric(report: Report | None, metric: str) -> str:
    value = best.value_of(report.metrics, metric) if report else None
    return NOTHING if value is None else wording.number(value)


def _broken(report: Report, constraints: Sequence[ConstraintSpec]) -> Iterator[str]:
    """What of the constraints is not kept, and by which value."""
    for each in constraints:
        if not ranking.violation(report.metrics, [each]):
            continue
        value = best.value_of(report.metrics, each.metric)
        told = "has no value" if value is None else wording.number(value)
        yield f"{each.metric} {told}, allowed: {wording.bounds(each)}"
