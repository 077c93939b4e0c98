"""The document of a trial: that of the sweep with one configuration in it, and what a trial does otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eagleray.spec import space
from eagleray.spec.checkpoint import BestBySpec
from eagleray.spec.finetune import FineTune
from eagleray.store import sweeps


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep changes in the document of each trial."""

    best_by: BestBySpec
    evaluate_every_steps: int  # where the document does not say
    saves_each_evaluation: bool  # for schedulers that stop a trial to go on with it later
    keep: int  # of the newest checkpoints
    footprint: tuple[str, ...] = ()  # measured beside what the task reports


def document(base: FineTune, plan: Plan, *, number: int, params: Mapping[str, Any]) -> FineTune:
    """Return what a trial trains. Raises DocumentError where the values cannot be, as together they may not."""
    applied = space.apply(base, params)
    spec = applied.spec
    every = spec.train.evaluate_every_steps or plan.evaluate_every_steps
    train = {"baselines": False, "evaluate_every_steps": every}
    checkpoint: dict[str, Any] = {"best_by": plan.best_by, "keep": max(spec.checkpoint.keep, plan.keep)}
    if plan.saves_each_evaluation:
        checkpoint["every_steps"] = every
    sections = {
        "train": spec.train.model_copy(update=train),
        "checkpoint": spec.checkpoint.model_copy(update=checkpoint),
    }
    return applied.model_copy(
        update={
            "metadata": applied.metadata.model_copy(update={"name": sweeps.trial_name(number)}),
            "spec": spec.model_copy(update=sections),
        }
    )
