"""Which trial of a sweep is best, by one objective or several, among those that keep the constraints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eagleray.spec.reported import FOOTPRINT
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import best, checkpoints
from eagleray.store.checkpoints import Manifest
from eagleray.store.objects import Objects
from eagleray.store.sweeps import Report, Sweep, Trial


def primary(objectives: Sequence[ObjectiveSpec]) -> ObjectiveSpec:
    """Return the objective that picks a trial's checkpoint and stops trials early: the first that training changes."""
    return next(each for each in objectives if each.metric not in FOOTPRINT)


def best_report(trial: Trial, objectives: Sequence[ObjectiveSpec]) -> Report | None:
    """Return the evaluation that the trial's best checkpoint was taken at; None where no metric has a value."""
    by = primary(objectives)
    return best.pick(trial.reports, metric=by.metric, mode=by.mode)


def values(trial: Trial, objectives: Sequence[ObjectiveSpec]) -> tuple[float, ...] | None:
    """Return the objectives of the trial's best checkpoint; None where one has no value."""
    report = best_report(trial, objectives)
    if report is None:
        return None
    found = [best.value_of(report.metrics, each.metric) for each in objectives]
    return None if None in found else tuple(value for value in found if value is not None)


def violation(metrics: Mapping[str, float], constraints: Iterable[ConstraintSpec]) -> float:
    """Return by how much constraints are broken, all together; 0 where each is kept."""
    total = 0.0
    for each in constraints:
        value = best.value_of(metrics, each.metric)
        if value is None:
            return float("inf")
        total += max(0.0, value - each.at_most) if each.at_most is not None else 0.0
        total += max(0.0, each.at_least - value) if each.at_least is not None else 0.0
    return total


def ranked(
    trials: Iterable[Trial], *, objectives: Sequence[ObjectiveSpec], constraints: Sequence[ConstraintSpec] = ()
) -> list[Trial]:
    """Return the trials that keep the constraints, the best first.

    With several objectives those that no other beats in all of them come first (the Pareto front, then that of the
    rest, and so on), among them by the first objective.
    """
    scored = {}
    for trial in trials:
        report, found = best_report(trial, objectives), values(trial, objectives)
        if report is not None and found is not None and violation(report.metrics, constraints) == 0.0:
            scored[trial.number] = trial, _costs(found, objectives)
    if len(objectives) == 1:  # then each front is one value
        return [trial for trial, _ in sorted(scored.values(), key=lambda each: (each[1], each[0].number))]
    ordered: list[Trial] = []
    left = dict(scored)
    while left:
        front = [number for number, (_, costs) in left.items() if not _is_beaten(costs, left.values())]
        front.sort(key=lambda number: (left[number][1], number))
        ordered += [left.pop(number)[0] for number in front]
    return ordered


def pareto_front(
    trials: Iterable[Trial], *, objectives: Sequence[ObjectiveSpec], constraints: Sequence[ConstraintSpec] = ()
) -> list[Trial]:
    """Return the trials that no other beats in all objectives, by the first objective."""
    ordered = ranked(trials, objectives=objectives, constraints=constraints)
    costs = {trial.number: (trial, _costs(values(trial, objectives) or (), objectives)) for trial in ordered}
    return [trial for trial in ordered if not _is_beaten(costs[trial.number][1], costs.values())]


def best_checkpoint(objects: Objects, trial: Trial, objectives: Sequence[ObjectiveSpec]) -> Manifest | None:
    """Return the checkpoint of the trial's best evaluation; None where it never came to the storage.

    It is the one that measured the same: two lives of a trial may have a checkpoint of one step with other weights.
    """
    report = best_report(trial, objectives)
    if report is None:
        return None
    for life in reversed(trial.lives):
        for manifest in checkpoints.list_manifests(objects, life.run):
            if all(best.value_of(manifest.metrics, name) == value for name, value in report.metrics.items()):
                return manifest
    return None


def why_none(sweep: Sweep) -> str:
    """Why no trial can be the best."""
    errors = list(dict.fromkeys(trial.error.splitlines()[0] for trial in sweep.trials if trial.error))[:3]
    reported = [trial for trial in sweep.trials if trial.reports]
    if reported and sweep.constraints:
        return f"of {len(reported)} trials that were evaluated none keeps the constraints: relax sweep.constraints"
    told = "\n".join(f"  {error}" for error in errors)
    return f"none of {len(sweep.trials)} trials has a checkpoint with a value of the objective\n{told}".rstrip()


def _costs(found: tuple[float, ...], objectives: Sequence[ObjectiveSpec]) -> tuple[float, ...]:
    """The values with their sign such that less is better."""
    return tuple(-value if each.mode == "max" else value for value, each in zip(found, objectives, strict=True))


def _is_beaten(costs: tuple[float, ...], others: Iterable[tuple[Trial, tuple[float, ...]]]) -> bool:
    """Whether another is as good in all objectives and better in one (Deb et al. 2002: it dominates)."""
    return any(
        other != costs and all(theirs <= ours for theirs, ours in zip(other, costs, strict=True)) for _, other in others
    )
