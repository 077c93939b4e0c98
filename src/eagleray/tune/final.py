"""The last run of a sweep: the best configuration, for longer, and on more rows; and whether it is still to be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eagleray.errors import UserError
from eagleray.spec import space
from eagleray.spec.data import ValidationSpec
from eagleray.spec.document import loads
from eagleray.spec.finetune import FineTune
from eagleray.store import events, ranking, runs, sweeps
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.train import changes

ONLY_AT_END = 10**9
"""Steps between checkpoints that no run reaches: the last step has one anyway."""


def document(base: FineTune, params: Mapping[str, Any]) -> FineTune:
    """Return what `--final` trains.

    With the validation rows among the training rows the test rows stand in for them, so that there is something to
    evaluate: nothing may be chosen by them, so there is one checkpoint, at the end, and no early stopping.

    Raises:
        UserError: the document has no `sweep.final`.
    """
    final = base.spec.sweep.final if base.spec.sweep else None
    if final is None:
        raise UserError("--final: the document has no spec.sweep.final: say there how the last run is trained")
    best = space.apply(base, params)
    spec = best.spec.model_copy(update={"scale": final.scale or best.spec.scale})
    # A bound in steps would hold the run to the length of a trial.
    longer = {} if final.epochs is None else {"epochs": final.epochs, "max_steps": None}
    train = spec.train.model_copy(update=longer)
    if not final.with_validation:
        return best.model_copy(update={"spec": spec.model_copy(update={"train": train})})
    sections = {
        "data": spec.data.model_copy(update={"validation": ValidationSpec(file=spec.data.test)}),
        "train": train.model_copy(update={"early_stopping": None, "evaluate_every_steps": None}),
        "checkpoint": spec.checkpoint.model_copy(update={"every_steps": ONLY_AT_END}),
    }
    return best.model_copy(update={"spec": spec.model_copy(update=sections)})


def of_sweep(objects: Objects, base: FineTune, run: str) -> FineTune:
    """Return what `--final` trains after a sweep that has come to its end."""
    sweep = sweeps.read(events.read_events(objects, run))
    best = ranking.ranked(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)[0]
    return document(base, best.params)


def is_due(objects: Objects, base: FineTune, sweep: RunRecord) -> bool:
    """Whether the last run after this sweep, which has come to its end, has not."""
    wanted = of_sweep(objects, base, sweep.run)
    searched = base.spec.sweep.space.keys() if base.spec.sweep else ()
    return not any(
        (each.name, each.kind, each.phase) == (sweep.name, wanted.kind, "succeeded")
        and each.started_at >= sweep.started_at
        and _is_of(objects, each.run, wanted, searched=frozenset(searched))
        for each in runs.list_runs(objects)
    )


def _is_of(objects: Objects, run: str, wanted: FineTune, *, searched: frozenset[str]) -> bool:
    """Whether a run is what the best configuration makes.

    The sweep is the document's own, so model and data are what they were, wherever they lie by now; but for what was
    searched of them.
    """
    stored = loads(runs.read_document(objects, run), source=run).document
    lock = runs.read_lock(objects, run)
    found = changes.differences(changes.basis_of(stored, lock), changes.basis_of(wanted, lock))
    return all(
        changes.effect(change.path) == "nothing" if change.path in searched else change.effect == "nothing"
        for change in found
    )
