"""The page of a sweep: what came of it, what it cost, and the best configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from eagleray.report import coordinates, curves, drawing, importance, page, saved, table, tradeoffs, wording
from eagleray.report.page import Panel, Tile, panel
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store import best, ranking
from eagleray.store.sweeps import Sweep, Trial


def render(
    sweep: Sweep,
    *,
    run: str,
    objectives: Sequence[ObjectiveSpec],
    constraints: Sequence[ConstraintSpec],
    best_document: str,
) -> str:
    """Return the HTML of one self-contained file.

    `objectives` are at least one. `best_document` is the YAML text of the best configuration; empty where there is
    none.
    """
    ranked = ranking.ranked(sweep.trials, objectives=objectives, constraints=constraints)
    panels = list(_panels(sweep, ranked, objectives))
    return page.render(
        "sweep.html.jinja",
        run=run,
        headline=" ".join(_headline(sweep, ranked, objectives)),
        constraints=[f"{each.metric} {wording.bounds(each)}" for each in constraints],
        objectives=objectives,
        tiles=list(_tiles(sweep, ranked, objectives)),
        panels=panels,
        has_figures=any(each.figure for each in panels),
        param_keys=table.param_keys(sweep),
        rows=table.rows(sweep, objectives=objectives, constraints=constraints, ranked=ranked),
        best_document=best_document,
    )


def _headline(sweep: Sweep, ranked: Sequence[Trial], objectives: Sequence[ObjectiveSpec]) -> Iterator[str]:
    """What came of the sweep, in a few sentences."""
    if not sweep.trials:
        yield "No trial has been started yet."
        return
    states = Counter(trial.state for trial in sweep.trials)
    told = ", ".join(f"{states[state]} {state}" for state in drawing.STATES if states[state])
    yield f"{wording.counted(len(sweep.trials), 'trial')}: {told}."
    if not ranked:
        yield "None has a value and keeps the constraints, so there is no best one."
    elif len(objectives) == 1:
        yield f"Trial {ranked[0].number} is the best."
    else:
        front = ranking.pareto_front(ranked, objectives=objectives)
        on_front = ", ".join(str(trial.number) for trial in front)
        yield f"Trial {ranked[0].number} is the best of those that no other beats in all objectives: {on_front}."
    if sweep.end_reason:
        yield f"The search ended: {sweep.end_reason.rstrip('.')}."
    else:
        yield "The search has not ended."


def _tiles(sweep: Sweep, ranked: Sequence[Trial], objectives: Sequence[ObjectiveSpec]) -> Iterator[Tile]:
    for each in objectives:
        report = ranking.best_report(ranked[0], objectives) if ranked else None
        value = best.value_of(report.metrics, each.metric) if report else None
        where = f"trial {ranked[0].number} at step {report.step:,}" if ranked and report else "no trial"
        told = table.NOTHING if value is None else wording.number(value)
        yield Tile(f"best {each.metric}", told, f"{where}; {wording.direction(each)}", is_best=True)
    hours = f"{sweep.device}-hours"
    saving = saved.by_pruning(sweep)
    whole = len(sweep.trials) * sweep.total_steps
    yield Tile("steps run", f"{sweep.num_steps:,}", f"{sweep.num_steps / whole:.0%} of {whole:,}" if whole else "")
    clock = f"{wording.duration(sweep.seconds)} by the clock" if sweep.seconds else ""
    yield Tile(f"{hours} spent", wording.hours(sweep.device_hours), clock)
    num_pruned = sum(trial.state == "pruned" for trial in sweep.trials)
    yield Tile("steps saved by pruning", f"{saving.num_steps:,}", f"of {wording.counted(num_pruned, 'pruned trial')}")
    yield Tile(f"{hours} saved by pruning", wording.hours(saving.device_hours), "at each trial's own seconds per step")


def _panels(sweep: Sweep, ranked: Sequence[Trial], objectives: Sequence[ObjectiveSpec]) -> Iterator[Panel]:
    first, top = ranking.primary(objectives), ranked[0] if ranked else None
    no_value = f"Nothing to draw: no trial has a value of {' and '.join(each.metric for each in objectives)}."
    learned = curves.figure(sweep, objective=first, best_trial=top)
    yield panel(
        "curves",
        f"{first.metric} over the steps",
        _curves_note(sweep),
        learned,
        without=no_value,
    )
    width_px = coordinates.AXIS_PX * (len(table.param_keys(sweep)) + len(objectives))
    yield panel(
        "coordinates",
        "Parameters and what came of them",
        "A line is a trial. What a trial does not have is at the foot of the axis.",
        coordinates.figure(sweep, objectives=objectives, ranked=ranked),
        without="Nothing to draw: no trial has parameters.",
        width_px=width_px,
    )
    weighed = importance.estimate(sweep.trials, objective=first)
    yield panel(
        "importance",
        f"Which parameters decide about {first.metric}",
        f"How far the values of the good trials differ from those of all (PED-ANOVA). {weighed.basis}",
        importance.figure(weighed),
        without=weighed.basis,
    )
    if len(objectives) > 1:
        yield panel(
            "tradeoffs",
            f"{objectives[0].metric} against {objectives[1].metric}",
            "Stars are the trials that no other beats in all objectives.",
            tradeoffs.against_each_other(sweep, objectives=objectives, ranked=ranked),
            without=no_value,
        )
    yield panel(
        "cost",
        f"{first.metric} against what it cost",
        "A mark is a trial at its best.",
        tradeoffs.against_cost(sweep, objective=first, ranked=ranked),
        without=no_value,
    )


def _curves_note(sweep: Sweep) -> str:
    """How the figure is to be read."""
    told = "The star is the best evaluation."
    if any(trial.state == "pruned" for trial in sweep.trials):
        told += " Pruned trials are dashed and end in a cross."
    if any(trial.changes for trial in sweep.trials):
        told += " A diamond is where a trial went on from another's checkpoint, with other values."
    return f"{told} Hover to see the values."
